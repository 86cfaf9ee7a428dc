"""The clips of a training: features in memory where they fit, and otherwise read from the memory map batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.errors import InvalidValueError
from core.keys import files_digest
from tasks.grid.features import ARRAY, DESCRIPTION, Features, open_features
from tasks.grid.reading import TABLE

IN_MEMORY_BYTES = 2_000_000_000
"""Largest split that is copied into memory."""


class Rows:
    """Some rows of an array [clips, 1, mels, frames], by their place among these rows."""

    def __init__(self, array: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], device: str) -> None:
        self.array, self.rows, self.device = array, rows, device
        self.copy: Tensor | None = None
        if len(rows) and len(rows) * array[:1].nbytes <= IN_MEMORY_BYTES:
            self.copy = torch.from_numpy(np.asarray(array[rows])).to(device)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, places: Tensor) -> Tensor:
        """Return [places, 1, mels, frames] on the device, channels last in memory, as the convolutions like it."""
        if self.copy is not None:
            found = self.copy[places.to(self.copy.device)]
        else:
            found = torch.from_numpy(np.asarray(self.array[self.rows[places.numpy()]])).to(self.device)
        return found.contiguous(memory_format=torch.channels_last)


@dataclass
class Clips:
    """Features that were opened, and their splits."""

    features: Features
    train: Rows
    val: Rows
    digest: str
    """SHA-256 over the features' files."""

    @property
    def array(self) -> npt.NDArray[np.float32]:
        """All rows, in the grid's order."""
        return self.features.array


def read(folder: Path, device: str) -> Clips:
    """Open features; only ``train`` rows are trained on, only ``val`` rows select.

    Raises:
        InvalidValueError: no training rows, or features that are not [clips, 1, mels, frames].
    """
    features = open_features(folder)
    if features.array.ndim != 4 or features.array.shape[1] != 1:
        shape = features.array.shape
        raise InvalidValueError("not features of one channel", where=str(folder), allowed="[clips, 1, mels, frames]", received=shape)
    train, val = features.rows("train"), features.rows("val")
    if len(train) < 2:
        raise InvalidValueError("too few clips to train on", where=str(folder), allowed="at least 2 train rows", received=len(train))
    return Clips(features, Rows(features.array, train, device), Rows(features.array, val, device), digest(folder))


def digest(folder: Path) -> str:
    """Return one SHA-256 over array, table and description."""
    return files_digest(folder / name for name in (DESCRIPTION, TABLE, ARRAY))
