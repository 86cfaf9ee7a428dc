"""Takes a dataset out of the store in the forms other tools open: CSV, an audio folder, WebDataset shards."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from core import atomic, manifest
from core.errors import InvalidValueError

SHARD_CLIPS = 1000
"""Clips per WebDataset shard."""


def collect(root: Path, folders: Sequence[str]) -> pd.DataFrame:
    """Return the accepted clips of several dataset folders as one table; a clip that occurs twice is taken once.

    Raises:
        InvalidValueError: the run made no dataset of single clips.
    """
    if not folders:
        hint = "a grid leaves by export_to=FOLDER, as Parquet, WebDataset (synthesize_grid.form) or .npz (synthesize_grid.npz)"
        raise InvalidValueError("made no dataset of single clips", where="export", allowed="a run of synthio", received="none", hint=hint)
    tables = [manifest.accepted(manifest.read(root / folder)) for folder in folders]
    joined = pd.concat(tables, ignore_index=True)
    return joined.drop_duplicates("clip_id", keep="last").sort_values("clip_id").reset_index(drop=True)


def export(kind: str, table: pd.DataFrame, root: Path, target: Path) -> Path:
    """Write ``table`` to ``target`` as ``csv``, ``audiofolder`` or ``webdataset``; the target appears complete or not at all.

    Args:
        kind: the form.
        table: manifest rows; ``path`` relative to ``root``.
        root: the data root.
        target: a folder that does not exist yet.

    Raises:
        InvalidValueError: an unknown form, or the target exists.
    """
    writers: dict[str, Callable[[pd.DataFrame, Path, Path], None]] = {
        "csv": _write_csv, "audiofolder": _write_audiofolder, "webdataset": _write_webdataset,
    }  # fmt: skip
    if kind not in writers:
        raise InvalidValueError("unknown form", where="export --to", allowed=sorted(writers), received=kind)
    if target.exists():
        hint = "choose another --output"
        raise InvalidValueError("exists already", where="export", allowed="a new folder", received=str(target), hint=hint)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        writers[kind](table, root, temporary)
        atomic.rename_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _columns(row: Any, file_name: str) -> dict[str, Any]:
    kept = {name: getattr(row, name) for name in manifest.COLUMNS if name not in ("path", "parents")}
    return {"file_name": file_name, **kept, "parents": " ".join(row.parents)}


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]) if rows else ["file_name"])
        writer.writeheader()
        writer.writerows(rows)


def _write_csv(table: pd.DataFrame, root: Path, target: Path) -> None:
    """One table; ``path`` stays relative to the data root, so that it comes in again with ``dataset.root`` set to the data root."""
    rows = [_columns(row, str(row.path)) for row in table.itertuples()]
    _write_table(target / "clips.csv", [{"path": row.pop("file_name"), **row} for row in rows])


def _write_audiofolder(table: pd.DataFrame, root: Path, target: Path) -> None:
    """One folder per split with ``metadata.csv`` beside the audio, as ``datasets.load_dataset("audiofolder")`` expects it."""
    for split, part in table.groupby(table["split"].replace("", "unsplit")):
        folder = target / ("validation" if split == "val" else str(split))
        folder.mkdir()
        rows = []
        for row in part.itertuples():
            name = f"{row.clip_id}{Path(str(row.path)).suffix}"
            shutil.copyfile(root / str(row.path), folder / name)
            rows.append(_columns(row, name))
        _write_table(folder / "metadata.csv", rows)


def _write_webdataset(table: pd.DataFrame, root: Path, target: Path) -> None:
    """Tar shards ``<split>-000000.tar`` with ``<clip_id>.<audio suffix>`` and ``<clip_id>.json`` side by side."""
    for split, part in table.groupby(table["split"].replace("", "unsplit")):
        for number, start in enumerate(range(0, len(part), SHARD_CLIPS)):
            with tarfile.open(target / f"{split}-{number:06d}.tar", "w") as archive:
                for row in part.iloc[start : start + SHARD_CLIPS].itertuples():
                    suffix = Path(str(row.path)).suffix
                    _add(archive, f"{row.clip_id}{suffix}", (root / str(row.path)).read_bytes())
                    text = json.dumps(_columns(row, f"{row.clip_id}{suffix}"), ensure_ascii=False)
                    _add(archive, f"{row.clip_id}.json", text.encode())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time stamp and owner: the same clips give the same bytes
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
