"""The manifest: a Parquet table with one row per clip, the one table every stage reads and writes.

``path`` is relative to the data root, so a manifest holds no path of a machine. ``parameters`` and ``scores`` are JSON text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core import atomic
from core.errors import InvalidValueError

SCHEMA_VERSION = 1
FILE_NAME = "manifest.parquet"
SPLITS = ("train", "val", "test", "")
STATUSES = ("accepted", "rejected")

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),  # hash of what defines the row
        ("path", pa.string()),  # relative to the data root
        ("sha256", pa.string()),  # of the file's bytes; empty when it could not be read
        ("duration_s", pa.float64()),
        ("sample_rate_hz", pa.int64()),
        ("channels", pa.int64()),
        ("label", pa.string()),
        ("caption", pa.string()),
        ("split", pa.string()),  # train, val, test, or empty for clips that belong to none
        ("fold", pa.string()),
        ("origin", pa.string()),  # "gold" or the stage that made the clip
        ("parents", pa.list_(pa.string())),  # clip_ids this clip was made from
        ("parameters", pa.string()),  # JSON object: seed, prompt, model key, …
        ("scores", pa.string()),  # JSON object of floats
        ("status", pa.string()),  # accepted or rejected
        ("reason", pa.string()),  # why it was rejected
    ],
    metadata={"synthloom.schema_version": str(SCHEMA_VERSION)},
)
COLUMNS = tuple(SCHEMA.names)
_DEFAULTS: dict[str, Any] = {
    "sha256": "", "duration_s": 0.0, "sample_rate_hz": 0, "channels": 0, "label": "", "caption": "", "split": "", "fold": "",
    "parents": (), "parameters": "{}", "scores": "{}", "status": "accepted", "reason": "",
}  # fmt: skip


def clip_id(*parts: object) -> str:
    """Return 16 hex digits that identify a clip by what defines it (path and label, or parent, prompt and seed)."""
    text = json.dumps([str(part) for part in parts], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def row(clip_id: str, path: str, origin: str, **values: Any) -> dict[str, Any]:
    """Return one complete manifest row; ``parameters`` and ``scores`` may be given as dicts.

    Raises:
        InvalidValueError: an unknown column, a path that leaves the data root, an unknown split or status.
    """
    unknown = set(values) - set(COLUMNS)
    if unknown:
        raise InvalidValueError("unknown column", where="manifest", allowed=COLUMNS, received=sorted(unknown))
    filled = {**_DEFAULTS, **values, "clip_id": clip_id, "path": path, "origin": origin}
    for name in ("parameters", "scores"):
        if not isinstance(filled[name], str):
            filled[name] = json.dumps(filled[name], sort_keys=True, ensure_ascii=False, allow_nan=False)
    filled["parents"] = list(filled["parents"])
    _check_row(filled)
    return filled


def _check_row(values: dict[str, Any]) -> None:
    where = f"manifest row {values['clip_id']}"
    pure = PurePosixPath(values["path"])
    if pure.is_absolute() or ".." in pure.parts:
        raise InvalidValueError("path leaves the data root", where=where, allowed="a relative path without '..'", received=values["path"])
    if values["split"] not in SPLITS:
        raise InvalidValueError("unknown split", where=where, allowed=SPLITS, received=values["split"])
    if values["status"] not in STATUSES:
        raise InvalidValueError("unknown status", where=where, allowed=STATUSES, received=values["status"])


def frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return rows (from :func:`row`) as a table with every column in schema order, sorted by nothing."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a manifest atomically; the same rows give the same bytes.

    Args:
        path: the Parquet file, or a folder to put ``manifest.parquet`` into.
        table: columns as in :data:`SCHEMA`; clip_ids unique.

    Raises:
        InvalidValueError: a column is missing or a clip_id occurs twice.
    """
    target = path if path.suffix == ".parquet" else path / FILE_NAME
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InvalidValueError("columns missing", where=str(target), allowed=COLUMNS, received=missing)
    twice = table["clip_id"][table["clip_id"].duplicated()]
    if len(twice):
        raise InvalidValueError("clip_id occurs twice", where=str(target), allowed="unique clip_ids", received=sorted(set(twice))[:5])
    columns = {name: [_plain(name, value) for value in table[name]] for name in COLUMNS}
    data = pa.table(columns, schema=SCHEMA)
    with atomic.replacing(target) as temporary:
        pq.write_table(data, temporary, compression="zstd")


def _plain(name: str, value: Any) -> Any:
    """Convert a pandas cell (numpy scalars, arrays, NaN for missing text) to what Arrow's schema expects."""
    if name == "parents":
        return [str(item) for item in value] if value is not None else []
    if name in ("sample_rate_hz", "channels"):
        return int(value)
    if name == "duration_s":
        return float(value)
    return "" if value is None or value != value else str(value)


def read(path: Path) -> pd.DataFrame:
    """Read a manifest (file or folder) as a table; text columns are never NaN, ``parents`` holds lists.

    Raises:
        InvalidValueError: the file is no manifest of this schema version.
    """
    target = path if path.suffix == ".parquet" else path / FILE_NAME
    data = pq.read_table(target)
    version = (data.schema.metadata or {}).get(b"synthloom.schema_version", b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise InvalidValueError("unknown manifest version", where=str(target), allowed=SCHEMA_VERSION, received=version)
    rows = data.select(list(COLUMNS)).to_pydict()
    return pd.DataFrame({name: pd.Series(values, dtype=_DTYPES.get(name, object)) for name, values in rows.items()}, columns=list(COLUMNS))


_DTYPES: dict[str, str] = {"duration_s": "float64", "sample_rate_hz": "int64", "channels": "int64"}


def accepted(table: pd.DataFrame) -> pd.DataFrame:
    """Return only the rows whose status is accepted, with a fresh index."""
    return table[table["status"] == "accepted"].reset_index(drop=True)


def require_train(table: pd.DataFrame, where: str) -> None:
    """Refuse a table that holds clips of other splits: validation and test clips reach no generator, caption, threshold or pair.

    Args:
        table: rows of a manifest, accepted or not.
        where: the folder or setting that named it, for the error.

    Raises:
        InvalidValueError: with the split of the first such clips by their ids.
    """
    others = table[table["split"] != "train"]
    if len(others):
        raise InvalidValueError(
            "clips that are not train clips", where=where, allowed="split train",
            received=dict(zip(others["clip_id"][:5], others["split"][:5], strict=True)),
            hint="validation and test clips are only ever scored on; give it a folder of train clips, such as stratify's",
        )  # fmt: skip


def ancestors(clip_id: str, parents_of: Callable[[str], Iterable[str]]) -> list[str]:
    """Return a clip and everything it was made from, each once, nearest first; a clip that is its own ancestor ends the search."""
    found, seen = [clip_id], {clip_id}
    for clip in found:  # grows meanwhile
        above = [parent for parent in dict.fromkeys(parents_of(clip)) if parent not in seen]
        seen.update(above)
        found += above
    return found


def refuse_leaks(train: pd.DataFrame, held_out: set[str], message: str, where: str, hint: str = "") -> None:
    """Refuse train clips that are held-out clips, or have one among their parents.

    Args:
        train: rows that are trained on.
        held_out: clip_ids of the validation and test clips.
        message: what is wrong, for the error.
        where: the setting that named the clips.
        hint: what to do.

    Raises:
        InvalidValueError: with the first of them.
    """
    leaked = [row.clip_id for row in train.itertuples() if row.clip_id in held_out or held_out & set(row.parents)]  # type: ignore[arg-type]
    if leaked:
        raise InvalidValueError(message, where=where, allowed="train clips", received=leaked[:5], hint=hint)


def digest(table: pd.DataFrame) -> str:
    """Return a SHA-256 over the rows sorted by clip_id: equal for equal data, whatever the row order."""
    ordered = table.sort_values("clip_id")
    lines = (json.dumps([_plain(name, value) for name, value in zip(COLUMNS, cells, strict=True)], ensure_ascii=False)
             for cells in ordered[list(COLUMNS)].itertuples(index=False))  # fmt: skip
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
