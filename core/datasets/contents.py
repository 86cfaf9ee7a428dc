"""Reads the table of clips of a version, whatever its form."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from core.datasets.export import TABLE
from core.errors import InvalidValueError

NUMBERS = {"duration_s": float, "sample_rate_hz": int, "channels": int}
NEEDED = ("path", "clip_id", "label", "caption", "split", "origin", "sha256", "scores", *NUMBERS)


def read(folder: Path) -> pd.DataFrame:
    """Return ``clips.csv``; text columns are never NaN.

    Raises:
        InvalidValueError: it is missing or no such table.
    """
    path = folder / TABLE
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        missing = [name for name in NEEDED if name not in table.columns] if len(table) else []
        if missing:
            raise InvalidValueError("columns missing", where=str(path), allowed=NEEDED, received=missing)
        return table.reindex(columns=list(dict.fromkeys([*NEEDED, *table.columns]))).astype(NUMBERS)
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(f"cannot be read: {error}", where=str(path), allowed="a published version", received="none") from error
