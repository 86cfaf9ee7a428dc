"""A shard's files: arrays row after row without a head, so that none is held in memory, and a JSON of rows, losses and circumstances."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

SUFFIX = ".rows"
TOLD = "shard_rows.json"


class ArrayFiles:
    """Arrays that grow by rows; a context manager.

    Args:
        folder: to write in.
        types: kind of number of each array by name.
    """

    def __init__(self, folder: Path, types: dict[str, str]) -> None:
        self._folder, self._types = folder, types
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> ArrayFiles:
        self._files = {name: (self._folder / f"{name}{SUFFIX}").open("wb") for name in self._types}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for file in self._files.values():
            file.close()

    def add(self, name: str, rows: npt.NDArray[Any]) -> None:
        """Append rows to an array."""
        self._files[name].write(np.ascontiguousarray(rows, self._types[name]).tobytes())


def rows_of(folder: Path, name: str, kind: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a shard's array, mapped: [rows, *shape].

    Raises:
        ValueError: the file does not hold whole rows.
    """
    path = folder / f"{name}{SUFFIX}"
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if not size or not path.stat().st_size:
        return np.zeros((0, *shape), kind)
    if path.stat().st_size % size:
        raise ValueError(f"{path} does not hold whole rows of {size} bytes")
    return np.memmap(path, kind, "r", shape=(path.stat().st_size // size, *shape))


def tell(folder: Path, told: dict[str, Any]) -> None:
    """Write a shard's JSON."""
    (folder / TOLD).write_text(json.dumps(told, allow_nan=False))


def told_of(folder: Path) -> dict[str, Any]:
    """Read a shard's JSON."""
    found: dict[str, Any] = json.loads((folder / TOLD).read_text())
    return found
