"""Reads the features of a grid, and undoes their normalisation. Written by ``featurise``; needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import InvalidValueError
from tasks.grid.reading import TABLE, Factor, read_json

DESCRIPTION, ARRAY = "features.json", "features.npy"
Array = npt.NDArray[np.float32]


class Features:
    """Opened features: the array stays on disk, the table is in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description: dict[str, Any] = read_json(folder / DESCRIPTION, "features written by featurise")
        self.array: Array = np.load(folder / ARRAY, mmap_mode="r", allow_pickle=False)
        """float32 [clips, 1, mels, frames], a read-only memory map."""
        self.table: pd.DataFrame = pd.read_parquet(folder / TABLE)
        """``index``, one column per factor, and ``split``: train, val or test; one row per clip in the array's order."""
        self.factors = [Factor.of(entry) for entry in self.description["factors"]]
        self.normalisation = str(self.description["normalisation"])
        self.flagged = [str(text) for text in self.description["flagged"]]
        for name in ("sample_rate_hz", "n_fft", "hop", "mels", "frames", "samples"):
            setattr(self, name, int(self.description[name]))
        if len(self.array) != len(self.table):
            where = str(folder)
            raise InvalidValueError("rows do not match", where=where, allowed=f"{len(self.table)} rows", received=len(self.array))

    sample_rate_hz: int
    n_fft: int
    hop: int
    mels: int
    frames: int
    samples: int

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Return the row numbers of a split, ascending.

        Raises:
            InvalidValueError: a split of another name.
        """
        if split not in ("train", "val", "test"):
            raise InvalidValueError("no such split", where="features.rows", allowed="train, val or test", received=split)
        return np.flatnonzero((self.table["split"] == split).to_numpy())

    def to_power(self, values: npt.NDArray[Any]) -> Array:
        """Undo the normalisation: values [..., mels, frames] → mel power. With ``legacy_frame_max`` only up to a gain per frame."""
        d = self.description
        scaled = np.asarray(values, np.float64) * d["scale"] + d["offset"]
        return (d["reference_power"] * 10 ** (scaled / 10) if self.normalisation == "log_db" else scaled).astype(np.float32)


def open_features(folder: Path) -> Features:
    """Open the features in a folder.

    Raises:
        InvalidValueError: the folder holds no features, or table and array differ in length.
    """
    return Features(Path(folder))
