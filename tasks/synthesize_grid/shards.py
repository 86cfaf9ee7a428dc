"""Writes clips as a stream, a block at a time: a Parquet file with fixed-size lists, or a WebDataset archive."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.io import wavfile

from tasks.grid.reading import OFFSETS, Sounds

BLOCK_BYTES = 8_000_000
"""Sound that is in memory at a time, and the size of a row group."""
NAMES = {"parquet": "clips.parquet", "webdataset": "clips.tar"}


def block_rows(samples: int) -> int:
    """Return how many clips make a block."""
    return max(1, BLOCK_BYTES // (4 * samples))


def blocks(start: int, stop: int, samples: int) -> Iterator[tuple[int, int]]:
    """Yield the first row and the row after the last of every block."""
    size = block_rows(samples)
    for first in range(start, stop, size):
        yield first, min(first + size, stop)


class ParquetShard:
    """``clips.parquet``: ``index``, the factors, and ``samples`` as FixedSizeList<float32>; one row group per block."""

    def __init__(self, folder: Path, samples: int) -> None:
        self._path, self._samples = folder / NAMES["parquet"], samples
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> ParquetShard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, rows: pd.DataFrame, sounds: Sounds) -> None:
        """Append a block; ``rows`` holds ``index`` and the factors of ``sounds`` [clips, samples]."""
        listed = pa.FixedSizeListArray.from_arrays(pa.array(sounds.reshape(-1)), self._samples)
        table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None).append_column("samples", listed)
        if self._writer is None:
            # Sound neither compresses nor repeats: plain pages are as small and several times faster.
            plain = {"use_dictionary": False, "compression": "none", "write_statistics": False}
            self._writer = pq.ParquetWriter(self._path, table.schema, **plain)
        self._writer.write_table(table, row_group_size=len(rows))


class WebDatasetShard:
    """``clips.tar``: ``<row>.wav`` (float32) and ``<row>.json`` for each clip; ``offsets.npy`` says where each clip's samples begin."""

    def __init__(self, folder: Path, sample_rate_hz: int) -> None:
        self._folder, self._rate_hz = folder, sample_rate_hz
        self._offsets: list[int] = []
        self._archive: tarfile.TarFile | None = None

    def __enter__(self) -> WebDatasetShard:
        self._archive = tarfile.open(self._folder / NAMES["webdataset"], "w", format=tarfile.USTAR_FORMAT)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._archive is not None
        self._archive.close()
        np.save(self._folder / OFFSETS, np.asarray(self._offsets, np.int64))

    def write(self, rows: pd.DataFrame, sounds: Sounds) -> None:
        """Append a block; ``rows`` holds ``index`` and the factors of ``sounds`` [clips, samples]."""
        assert self._archive is not None
        for row, sound in zip(rows.to_dict("records"), sounds, strict=True):
            encoded = io.BytesIO()
            wavfile.write(encoded, self._rate_hz, sound)
            header = encoded.getbuffer().nbytes - sound.nbytes
            self._offsets.append(self._archive.offset + tarfile.BLOCKSIZE + header)
            self._add(f"{row['index']:08d}.wav", encoded.getvalue())
            self._add(f"{row['index']:08d}.json", json.dumps({**row, "sample_rate_hz": self._rate_hz}).encode())

    def _add(self, name: str, data: bytes) -> None:
        assert self._archive is not None
        member = tarfile.TarInfo(name)  # no time stamp and owner: the same clips give the same bytes
        member.size = len(data)
        self._archive.addfile(member, io.BytesIO(data))


def open_shard(form: str, folder: Path, samples: int, sample_rate_hz: int) -> Any:
    """Return a context manager whose ``write(rows, sounds)`` appends blocks to a new shard in ``folder``."""
    return ParquetShard(folder, samples) if form == "parquet" else WebDatasetShard(folder, sample_rate_hz)
