"""Takes a dataset out of the store in the forms other tools open: CSV, an audio folder, WebDataset shards, lhotse."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from core import atomic, manifest
from core.attribution import COLUMNS as CREDITS
from core.datasets import lhotse_form
from core.datasets.lineage import credits_of
from core.errors import InvalidValueError

SHARD_CLIPS = 1000
"""Clips per WebDataset shard."""
TABLE = "clips.csv"
"""The table of all clips that every form has."""
METADATA = "metadata.jsonl"
FOLDERS = {"train": "train", "val": "validation", "test": "test", "": "unsplit"}
"""Where the clips of a split lie in an audio folder, by the split's name in a manifest."""


def collect(root: Path, folders: Sequence[str]) -> pd.DataFrame:
    """Return the accepted clips of several dataset folders as one table; a clip that occurs twice is taken once.

    Beside the manifest's columns it has those of :data:`core.attribution.COLUMNS`.

    Raises:
        InvalidValueError: the run made no dataset of single clips.
    """
    table = manifest.accepted(every_row(root, folders))
    return pd.concat([table, credits_of(root, folders, list(table["clip_id"]))], axis=1)


def every_row(root: Path, folders: Sequence[str]) -> pd.DataFrame:
    """Return accepted and rejected rows of several dataset folders, each clip once and sorted by its id; errors as :func:`collect`."""
    if not folders:
        hint = "a grid leaves by export_to=FOLDER, as Parquet, WebDataset (synthesize_grid.form) or .npz (synthesize_grid.npz)"
        raise InvalidValueError("made no dataset of single clips", where="export", allowed="a run of synthio", received="none", hint=hint)
    gone = [folder for folder in folders if not (root / folder / manifest.FILE_NAME).is_file()]
    if gone:
        hint = "type the run's own command again: it makes what is missing; ./run.sh status lists the runs"
        raise InvalidValueError("was removed since", where=gone[0], allowed="a finished output", received="none", hint=hint)
    joined = pd.concat([manifest.read(root / folder) for folder in folders], ignore_index=True)
    # Accepted rows stand last: a clip that one stage accepted and another rejected counts as accepted.
    ordered = joined.sort_values("status", key=lambda status: status == "accepted", kind="stable")
    return ordered.drop_duplicates("clip_id", keep="last").sort_values("clip_id").reset_index(drop=True)


def export(kind: str, table: pd.DataFrame, root: Path, target: Path) -> Path:
    """Write ``table`` to ``target`` in one of :data:`FORMS`; the target appears complete or not at all.

    Args:
        kind: the form.
        table: manifest rows; ``path`` relative to ``root``.
        root: the data root.
        target: a folder that does not exist yet.

    Raises:
        InvalidValueError: an unknown form, or the target exists.
    """
    check_form(kind)
    if target.exists():
        hint = "choose another --output"
        raise InvalidValueError("exists already", where="export", allowed="a new folder", received=str(target), hint=hint)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        fill(kind, table, root, temporary)
        atomic.rename_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def check_form(kind: str) -> None:
    """Refuse a form that is not in :data:`FORMS`."""
    if kind not in FORMS:
        raise InvalidValueError("unknown form", where="export --to", allowed=sorted(FORMS), received=kind)


def fill(kind: str, table: pd.DataFrame, root: Path, folder: Path) -> None:
    """Write the clips, in one of :data:`FORMS`, and their table into an empty folder."""
    columns = [name for name in (*manifest.COLUMNS, *CREDITS) if name in table.columns and name not in ("path", "parents")]
    rows = [
        {"path": str(row["path"]), **{name: row[name] for name in columns}, "parents": " ".join(row["parents"])}
        for row in table.to_dict("records")
    ]
    placed = FORMS[kind](rows, root, folder)
    _write_table(folder / TABLE, [{**row, "path": path} for row, path in zip(rows, placed, strict=True)])


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]) if rows else ["path"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _by_split(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for split in FOLDERS:
        part = [row for row in rows if row["split"] == split]
        if part:
            yield split, part


def _file_name(row: dict[str, Any]) -> str:
    return f"{row['clip_id']}{Path(row['path']).suffix}"


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row for readers that look for ``file_name``; where the file lay in the store is nobody's business there."""
    return {"file_name": _file_name(row), **{name: value for name, value in row.items() if name != "path"}}


def _write_csv(rows: list[dict[str, Any]], root: Path, folder: Path) -> list[str]:
    """The table alone; ``path`` stays relative to the data root, so that it comes in again with ``dataset.root`` set to the data root."""
    return [row["path"] for row in rows]


def _write_audiofolder(rows: list[dict[str, Any]], root: Path, folder: Path) -> list[str]:
    """One folder per split with ``metadata.jsonl`` beside the audio, as ``datasets.load_dataset("audiofolder")`` expects it.

    No CSV: there ``datasets`` guesses a column's type anew in every split, and refuses a column that is empty in one of them.
    """
    for split, part in _by_split(rows):
        place = folder / FOLDERS[split]
        place.mkdir()
        for row in part:
            shutil.copyfile(root / row["path"], place / _file_name(row))
        (place / METADATA).write_text("".join(json.dumps(_named(row), ensure_ascii=False) + "\n" for row in part), encoding="utf-8")
    return [f"{FOLDERS[row['split']]}/{_file_name(row)}" for row in rows]


def _write_lhotse(rows: list[dict[str, Any]], root: Path, folder: Path) -> list[str]:
    """``audio/`` and lhotse's manifests of recordings, supervisions and cuts."""
    placed = [f"{lhotse_form.AUDIO}/{_file_name(row)}" for row in rows]
    (folder / lhotse_form.AUDIO).mkdir()
    for row, path in zip(rows, placed, strict=True):
        shutil.copyfile(root / row["path"], folder / path)
    lhotse_form.write_manifests(folder, rows, placed)
    return placed


def _write_webdataset(rows: list[dict[str, Any]], root: Path, folder: Path) -> list[str]:
    """Tar shards ``<split>-000000.tar`` with ``<clip_id>.<audio suffix>`` and ``<clip_id>.json`` side by side."""
    placed: dict[str, str] = {}
    for split, part in _by_split(rows):
        for number, start in enumerate(range(0, len(part), SHARD_CLIPS)):
            shard = f"{split or 'unsplit'}-{number:06d}.tar"
            with tarfile.open(folder / shard, "w") as archive:
                for row in part[start : start + SHARD_CLIPS]:
                    _add(archive, _file_name(row), (root / row["path"]).read_bytes())
                    _add(archive, f"{row['clip_id']}.json", json.dumps(_named(row), ensure_ascii=False).encode())
                    placed[row["clip_id"]] = f"{shard}/{_file_name(row)}"
    return [placed[row["clip_id"]] for row in rows]


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time stamp and owner: the same clips give the same bytes
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


FORMS: dict[str, Callable[[list[dict[str, Any]], Path, Path], list[str]]] = {
    "audiofolder": _write_audiofolder, "csv": _write_csv, "lhotse": _write_lhotse, "webdataset": _write_webdataset,
}  # fmt: skip
"""The forms; each writer is given the rows, the data root and an empty folder, and returns where it put every clip."""
