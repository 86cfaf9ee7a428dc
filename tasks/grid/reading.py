"""Reads a grid of clips: its factors, and its sounds a few rows at a time. Written by ``synthesize_grid``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet

from core.errors import InvalidValueError

DESCRIPTION, TABLE, OFFSETS = "grid.json", "factors.parquet", "offsets.npy"
Sounds = npt.NDArray[np.float32]
"""[clips, samples]."""


@dataclass(frozen=True)
class Factor:
    """One factor of a grid, a column of its table."""

    name: str
    """Column name."""
    kind: str
    """``nominal``: the column holds class numbers, and ``values`` are their names; ``continuous``: it holds numbers."""
    unit: str
    """Unit of the values, empty for names and ratios."""
    values: tuple[float | str, ...]
    """The values that occur, in the grid's order."""

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Factor:
        """Return the factor that an entry of ``factors`` in ``grid.json`` or ``features.json`` describes."""
        return cls(entry["name"], entry["kind"], entry.get("unit", ""), tuple(entry["values"]))

    def entry(self) -> dict[str, Any]:
        """Return the factor as an entry of ``factors``."""
        unit = {"unit": self.unit} if self.unit else {}
        return {"name": self.name, "kind": self.kind, **unit, "values": list(self.values)}


class Grid:
    """An opened grid; sounds are read when asked for. Close it, or use it as a context manager, to let go of its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description: dict[str, Any] = read_json(folder / DESCRIPTION, "a grid written by synthesize_grid")
        self.clips = int(self.description["clips"])
        self.samples_per_clip = int(self.description["samples"])
        self.sample_rate_hz = int(self.description["sample_rate_hz"])
        self.factors = [Factor.of(entry) for entry in self.description["factors"]]
        self.warnings = [str(text) for text in self.description.get("warnings", [])]
        self._shards = list(zip(self.description["shards"], self.description["shard_rows"], strict=True))
        self._open: tuple[str, _Parquet | _Tar] | None = None

    def __enter__(self) -> Grid:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the shard that was read last."""
        if self._open is not None:
            self._open[1].close()
        self._open = None

    def factor(self, name: str) -> Factor:
        """Return a factor by name.

        Raises:
            InvalidValueError: the grid has none of that name.
        """
        for item in self.factors:
            if item.name == name:
                return item
        known = [item.name for item in self.factors]
        raise InvalidValueError("no such factor", where=str(self.folder), allowed=known, received=name)

    def table(self) -> pd.DataFrame:
        """Return ``index`` and one column per factor (nominal: int64 class number, continuous: float64), one row per clip in order."""
        return pd.read_parquet(self.folder / TABLE)

    def samples(self, start: int, stop: int) -> Sounds:
        """Return the clips of rows ``start`` to ``stop`` (not included): float32 [clips, samples]. Only these are read.

        Raises:
            InvalidValueError: the grid does not have these rows.
        """
        if not 0 <= start <= stop <= self.clips:
            raise InvalidValueError("no such rows", where=str(self.folder), allowed=f"0 … {self.clips}", received=(start, stop))
        made = np.empty((stop - start, self.samples_per_clip), np.float32)
        for name, (first, last) in self._shards:
            low, high = max(start, first), min(stop, last)
            if low < high:
                self._shard(name).read(low - first, high - first, made[low - start : high - start])
        return made

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Sounds]]:
        """Yield (number of the first row, float32 [up to ``size``, samples]) over the grid, or some of its rows, in order."""
        stop = self.clips if stop is None else stop
        for first in range(start, stop, size):
            yield first, self.samples(first, min(first + size, stop))

    def _shard(self, name: str) -> _Parquet | _Tar:
        """Return an opened shard; only one is open at a time."""
        if self._open is None or self._open[0] != name:
            self.close()
            kind = _Parquet if self.description["form"] == "parquet" else _Tar
            self._open = (name, kind(self.folder / name, self.samples_per_clip))
        return self._open[1]


class _Parquet:
    """A Parquet shard; the row group that was read last stays in memory, since neighbouring rows are asked for next."""

    def __init__(self, path: Path, samples: int) -> None:
        self._file, self._samples = pyarrow.parquet.ParquetFile(path), samples
        groups = range(self._file.metadata.num_row_groups)
        self._ends = np.cumsum([self._file.metadata.row_group(number).num_rows for number in groups])
        self._kept: tuple[int, Sounds] = (-1, np.empty((0, samples), np.float32))

    def read(self, low: int, high: int, into: Sounds) -> None:
        """Write rows ``low`` to ``high`` of the shard into ``into``."""
        at = low
        while at < high:
            number = int(np.searchsorted(self._ends, at, side="right"))
            group = self._group(number)
            begin = int(self._ends[number]) - len(group)
            end = min(high, int(self._ends[number]))
            into[at - low : end - low] = group[at - begin : end - begin]
            at = end

    def _group(self, number: int) -> Sounds:
        """Return the sounds of a row group."""
        if self._kept[0] != number:
            column = self._file.read_row_group(number, columns=["samples"], use_threads=False).column("samples")
            parts = [chunk.flatten().to_numpy().reshape(-1, self._samples) for chunk in column.chunks if len(chunk)]
            self._kept = (number, parts[0] if len(parts) == 1 else np.concatenate(parts))
        return self._kept[1]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class _Tar:
    """A WebDataset shard and where in it each clip's samples begin."""

    def __init__(self, path: Path, samples: int) -> None:
        self._bytes, self._count = np.memmap(path, dtype=np.uint8, mode="r"), 4 * samples
        self._offsets = np.load(path.with_name(OFFSETS), allow_pickle=False)

    def read(self, low: int, high: int, into: Sounds) -> None:
        """Write rows ``low`` to ``high`` of the shard into ``into``."""
        for place, start in zip(into, self._offsets[low:high], strict=True):
            place[:] = np.frombuffer(self._bytes[int(start) : int(start) + self._count].tobytes(), "<f4")

    def close(self) -> None:
        """Let go of the file."""
        del self._bytes


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read the description beside a table.

    Raises:
        InvalidValueError: the file is not there.
    """
    if not path.is_file():
        raise InvalidValueError("not there", where=str(path), allowed=what, received="no such file")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def open_grid(folder: Path) -> Grid:
    """Open the grid in a folder; its description and table are read, its sounds are not.

    Raises:
        InvalidValueError: the folder holds no grid.
    """
    return Grid(Path(folder))
