"""Reads responses with their labels from a folder: WAV files that a CSV lists, and SOFA files (AES69) with four or more receivers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import sofar

from core import audio
from core.errors import InvalidValueError
from tasks.import_rirs.spec import Settings
from tasks.spatial import foa

Array = npt.NDArray[Any]
LABELS = ("azimuth_deg", "elevation_deg", "source_distance_m", "area_m2")


class Unusable(Exception):
    """One response cannot be taken in, and why."""


@dataclass(frozen=True)
class Found:
    """One response as it lies in the folder."""

    name: str
    """File, and of a SOFA file the measurement's number."""
    samples: Array
    """[4, samples], still in the set's convention."""
    rate_hz: int
    """Sample rate."""
    labels: dict[str, Any]
    """:data:`LABELS`, room_id, split and t30_nominal_ms where known."""

    @property
    def spatial_id(self) -> str:
        """Twelve hex digits of the name and the samples."""
        content = self.name.encode() + b"\0" + np.ascontiguousarray(self.samples, np.float32).tobytes()
        return hashlib.sha256(content).hexdigest()[:12]


def responses(folder: Path, settings: Settings) -> Iterator[Found | tuple[str, str]]:
    """Yield every response, or of one that cannot be read (name, reason).

    Raises:
        InvalidValueError: the folder holds neither SOFA files nor the CSV, or the CSV lacks a column.
    """
    table, sofas = folder / settings.table, sorted(folder.rglob("*.sofa"))
    if not table.is_file() and not sofas:
        allowed = f"SOFA files, or {settings.table} with columns file, {', '.join(LABELS)}"
        raise InvalidValueError("holds no responses", where=str(folder), allowed=allowed, received=sorted(folder.glob("*"))[:5])
    if table.is_file():
        yield from _listed(folder, table)
    for path in sofas:
        yield from _measured(path, path.relative_to(folder).as_posix(), settings)


def _listed(folder: Path, table: Path) -> Iterator[Found | tuple[str, str]]:
    rows = pd.read_csv(table).rename(columns={"rir_path": "file"})
    missing = [name for name in ("file", *LABELS) if name not in rows.columns]
    if missing:
        raise InvalidValueError("columns missing", where=str(table), allowed=("file", *LABELS), received=missing)
    for row in rows.to_dict("records"):
        name = str(row["file"])
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            yield name, "its path leaves the folder"
            continue
        try:
            samples, rate_hz = audio.read(path)
        except (OSError, RuntimeError) as error:  # libsndfile's errors are RuntimeErrors
            yield name, f"unreadable: {error}"
            continue
        yield Found(name, samples, rate_hz, {key: value for key, value in row.items() if key != "file" and value == value})


def _measured(path: Path, name: str, settings: Settings) -> Iterator[Found | tuple[str, str]]:
    """Yield the measurements of a SOFA file; the source is placed relative to where the listener is and looks."""
    try:
        sofa = sofar.read_sofa(str(path), verify=False, verbose=False)
        data = np.asarray(sofa.Data_IR, float)
        rate_hz = int(np.ravel(sofa.Data_SamplingRate)[0])
        positions = relative_positions(sofa, len(data))
    except Exception as error:  # netCDF, HDF5 and sofar each have errors of their own
        yield name, f"unreadable: {error}"
        return
    if data.ndim == 4:  # one emitter is left, as in the conventions for several
        data = data[..., 0]
    area = settings.areas_m2.get(path.stem, _area(sofa))
    delays = np.asarray(sofa.Data_Delay, float)
    for number in range(len(data)):
        where = f"{name}#{number}"
        if data.ndim != 3 or data.shape[1] < 4:
            yield where, f"no first-order sound: {data.shape[1] if data.ndim > 1 else 0} receivers"
            continue
        azimuth, elevation = foa.angles(positions[number])
        labels = {
            "azimuth_deg": float(azimuth), "elevation_deg": float(elevation), "area_m2": area, "room_id": path.stem,
            "source_distance_m": float(np.linalg.norm(positions[number])),
        }  # fmt: skip
        if settings.label_azimuth_sign == "right_positive":  # SOFA's own sign is known; the stage turns labels round
            labels["azimuth_deg"] = -labels["azimuth_deg"]
        delay = round(float(np.broadcast_to(delays, (len(data), data.shape[1]))[number, 0])) if delays.ndim == 2 else 0
        # Higher orders follow the first in ACN order.
        yield Found(where, np.pad(data[number, :4], ((0, 0), (max(0, delay), 0))), rate_hz, labels)


def relative_positions(sofa: Any, measurements: int) -> Array:
    """Return where sources are, seen from the listener: metres to the front, to the left and up [measurements, 3]."""
    source = _cartesian(sofa.SourcePosition, getattr(sofa, "SourcePosition_Type", "cartesian"))
    listener = _cartesian(sofa.ListenerPosition, getattr(sofa, "ListenerPosition_Type", "cartesian"))
    front = _cartesian(sofa.ListenerView, getattr(sofa, "ListenerView_Type", "cartesian"))
    up = _cartesian(sofa.ListenerUp, getattr(sofa, "ListenerView_Type", "cartesian"))
    source, listener, front, up = (np.broadcast_to(one, (measurements, 3)) for one in (source, listener, front, up))
    front = front / np.linalg.norm(front, axis=1, keepdims=True)
    left = np.cross(up, front)
    left = left / np.linalg.norm(left, axis=1, keepdims=True)
    axes = np.stack([front, left, np.cross(front, left)], axis=1)
    return np.asarray(np.einsum("mac,mc->ma", axes, source - listener))


def _cartesian(values: Any, kind: str) -> Array:
    points = np.atleast_2d(np.asarray(values, float))
    return points if kind == "cartesian" else foa.unit_vector(points[:, 0], points[:, 1]) * points[:, 2:3]


def _area(sofa: Any) -> float:
    """Return the floor area of a shoebox's two corners, NaN where the file does not say it."""
    corners = [getattr(sofa, name, None) for name in ("RoomCornerA", "RoomCornerB")]
    if str(getattr(sofa, "GLOBAL_RoomType", "")) != "shoebox" or any(corner is None for corner in corners):
        return float("nan")
    x, y, _ = np.abs(np.subtract(np.ravel(corners[1]), np.ravel(corners[0])))
    return float(x * y)
