"""Reads and writes the published ``.npz`` layout: x [clips, samples], y, classes, and a pickled dict of factors; never loads it blindly."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from core import atomic
from core.errors import InvalidValueError
from tasks.grid.reading import Factor, Sounds
from tasks.synthesize_grid import plain_pickle

FILE = "dataset.npz"
KEYS = {"frequency": "freqs", "amplitude": "amps", "waveform": "waveforms"}
"""What the published layout calls the factors; others keep their names."""
MAX_METADATA_BYTES = 2_000_000_000
Columns = dict[str, npt.NDArray[Any]]


class Source:
    """An opened ``.npz``; the sounds are read as a stream, since they lie compressed in one piece."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise InvalidValueError("no .npz", where=str(path), allowed="an archive that numpy.savez wrote", received=str(error)) from error
        with self._member("x") as member:
            shape, self._kind = self._header(member, "x")
            self._begin = member.tell()
        if len(shape) != 2 or self._kind.kind != "f" or not all(shape):
            raise self._wrong("x", "floats [clips, samples]", (shape, str(self._kind)))
        self.clips, self.samples = shape
        promised = self._zip.getinfo("x.npy").file_size - self._begin
        if promised != self.clips * self.samples * self._kind.itemsize:
            raise self._wrong("x", f"{self.clips}×{self.samples} numbers", f"{promised} bytes")
        self.factors, self.columns = self._factors()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def blocks(self, start: int, stop: int, rows: int) -> Iterator[tuple[int, Sounds]]:
        """Yield (first row, float32 [up to ``rows``, samples]) for the rows from ``start`` to ``stop``; what lies before is skipped over.

        Raises:
            InvalidValueError: a clip has samples that are no numbers.
        """
        size = self.samples * self._kind.itemsize
        with self._member("x") as member:
            _skip(member, self._begin + start * size)
            for first in range(start, stop, rows):
                count = min(rows, stop - first)
                read = np.frombuffer(_exactly(member, count * size), self._kind).reshape(count, self.samples)
                if not np.isfinite(read).all():
                    bad = first + int(np.flatnonzero(~np.isfinite(read).all(axis=1))[0])
                    raise self._wrong(f"x[{bad}]", "finite samples", "NaN or infinity")
                yield first, read.astype(np.float32)

    def _factors(self) -> tuple[list[Factor], Columns]:
        """Return the factors and their columns, one value per clip."""
        classes = [str(name) for name in self._small("classes")]
        labels = np.asarray(self._small("y")).astype(np.int64)
        told = self._small("metadata") if "metadata.npy" in self._zip.namelist() else None
        if told is not None and not isinstance(told, dict):
            raise self._wrong("metadata", "a dict", type(told).__name__)
        if len(labels) != self.clips or not classes or labels.min() < 0 or labels.max() >= len(classes):
            raise self._wrong("y", f"{self.clips} numbers from 0 to {len(classes) - 1}", f"{len(labels)} numbers")
        found: Columns = {}
        for name in ("frequency", "amplitude", "waveform"):
            column = told[KEYS[name]] if told and KEYS[name] in told else None if told else self._small(KEYS[name])
            if column is None or len(column) != self.clips:
                raise self._wrong(KEYS[name], f"{self.clips} values", None if column is None else len(column))
            found[name] = np.asarray(column)
        if [str(name) for name in found["waveform"]] != [classes[label] for label in labels]:
            raise self._wrong("waveforms", "classes[y]", "another order")
        columns = {name: found[name].astype(np.float64) for name in ("frequency", "amplitude")}
        units = {"frequency": "Hz", "amplitude": ""}
        factors = [
            Factor(name, "continuous", units[name], tuple(float(value) for value in np.unique(column))) for name, column in columns.items()
        ]
        return [*factors, Factor("waveform", "nominal", "", tuple(classes))], {**columns, "waveform": labels}

    def _small(self, name: str) -> Any:
        """Return an array that fits in memory, or the object that a 0-d object array holds."""
        with self._member(name) as member:
            shape, kind = self._header(member, name)
            data = member.read(MAX_METADATA_BYTES)
        if kind.hasobject:
            return plain_pickle.load(data)
        if kind.kind not in plain_pickle.PLAIN or len(shape) > 1:
            raise self._wrong(name, "a list of numbers or texts", (shape, str(kind)))
        return np.frombuffer(data, kind, count=int(np.prod(shape)))

    def _member(self, name: str) -> IO[bytes]:
        try:
            return self._zip.open(f"{name}.npy")
        except KeyError as error:
            raise self._wrong(name, "x, y, classes and metadata", sorted(self._zip.namelist())) from error

    def _header(self, member: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return shape and type of a ``.npy`` member, which stands then at its data. The header is a literal, not code."""
        try:
            version = np.lib.format.read_magic(member)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, kind = reader(member)
        except ValueError as error:
            raise self._wrong(name, "a .npy header of version 1 or 2", str(error)) from error
        if fortran and len(shape) > 1:
            raise self._wrong(name, "rows in order (C)", "columns in order (Fortran)")
        return shape, kind

    def _wrong(self, member: str, allowed: str, received: object) -> InvalidValueError:
        hint = "create the file with SynTone's create.py, or with npz=upstream or npz=plain"
        return InvalidValueError("not the published layout", where=f"{self.path}:{member}", allowed=allowed, received=received, hint=hint)


def _skip(member: IO[bytes], count: int) -> None:
    while count:
        count -= len(_exactly(member, min(count, 1 << 24)))


def _exactly(member: IO[bytes], count: int) -> bytes:
    data = member.read(count)
    if len(data) != count:
        raise InvalidValueError("ends early", where=str(member.name), allowed=f"{count} more bytes", received=len(data))
    return data


def write(
    path: Path, layout: str, shape: tuple[int, int], blocks: Iterable[npt.NDArray[Any]], factors: list[Factor], columns: Columns,
    report: Callable[[int], None],
) -> None:  # fmt: skip
    """Write a dataset in one of two layouts, streaming the sounds.

    Args:
        path: file to write, atomically.
        layout: ``upstream`` (x float64, deflated, the factors as a dict in a 0-d object array) or ``plain`` (x float32, stored, the
            factors as arrays of their own; opens without ``allow_pickle``).
        shape: [clips, samples].
        blocks: the sounds, in order.
        factors: of the grid.
        columns: factor values by name, class numbers for nominal factors.
        report: told how many clips are written.
    """
    upstream = layout == "upstream"
    kind = np.dtype("<f8" if upstream else "<f4")
    names = {factor.name: np.asarray(factor.values) for factor in factors if factor.kind == "nominal"}
    told = {KEYS.get(name, name): names[name][column] if name in names else column for name, column in columns.items()}
    arrays = {"y": columns["waveform"], "classes": names["waveform"], **({"metadata": _boxed(told)} if upstream else told)}
    compression = zipfile.ZIP_DEFLATED if upstream else zipfile.ZIP_STORED
    with atomic.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", compression) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            done = 0
            for block in blocks:
                member.write(np.ascontiguousarray(block, kind).data)
                done += len(block)
                report(done)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=upstream)


def _boxed(value: dict[str, Any]) -> npt.NDArray[Any]:
    """Return a 0-d object array that holds a dict, as ``numpy.savez`` makes of one."""
    box = np.empty((), dtype=object)
    box[()] = value
    return box
