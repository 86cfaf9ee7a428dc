"""Reads rooms and positions that others drew: a CSV in the form of DISSE's ``rir_fixed.csv``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InvalidValueError
from tasks.simulate_rooms.drawing import SPLITS, Draw, Item, Room
from tasks.simulate_rooms.simulator import Scene

NEEDED = ("dims", "alpha", "azimuth_deg", "elevation_deg", "source_distance_m", "fullband_T30_ms")
AGREES_M = 0.02
"""A stated source may lie this far from where distance and angles put it."""


def read(path: Path) -> list[tuple[Item, Draw]]:
    """Return what a CSV lists; the receiver is in the middle of its room.

    Raises:
        InvalidValueError: a column or a number is missing, a source is outside its room, or not where its angles say.
    """
    table = pd.read_csv(path)
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise InvalidValueError("columns missing", where=str(path), allowed=NEEDED, received=missing)
    counts = dict.fromkeys(SPLITS, 0)
    found = []
    for line, row in enumerate(table.to_dict("records"), start=2):
        split = str(row.get("split", "test"))
        if split not in SPLITS:
            raise InvalidValueError("unknown split", where=f"{path}:{line}", allowed=SPLITS, received=split)
        found.append((Item(split, counts[split]), _drawn(row, f"{path}:{line}")))
        counts[split] += 1
    return found


def _drawn(row: dict[Any, Any], where: str) -> Draw:
    dims = _numbers(row["dims"], where)
    distance, azimuth, elevation = (float(row[name]) for name in ("source_distance_m", "azimuth_deg", "elevation_deg"))
    receiver = tuple(side / 2 for side in dims)
    turn, rise = np.deg2rad(azimuth), np.deg2rad(elevation)
    step = distance * np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
    source = np.add(receiver, step)
    if "source_pos_xyz" in row:
        said = np.array(_numbers(row["source_pos_xyz"], where))
        if np.abs(said - source).max() > AGREES_M:
            raise InvalidValueError("the source is not where its angles say", where=where, allowed=source.tolist(), received=said.tolist())
        source = said
    if not ((source > 0) & (source < np.array(dims))).all() or not np.isfinite(float(row["alpha"])):
        raise InvalidValueError("the source is outside its room", where=where, allowed=f"0 … {dims}", received=source.tolist())
    room = Room(dims, (float(row["alpha"]),), float(row["fullband_T30_ms"]))
    x, y, z = source.tolist()
    return Draw(room, Scene(dims, room.alphas, (x, y, z), receiver), distance, azimuth, elevation, 0.0)


def _numbers(text: Any, where: str) -> tuple[float, float, float]:
    """Return three numbers of a JSON list or of a Python tuple as text."""
    try:
        x, y, z = (float(value) for value in json.loads(str(text).strip().replace("(", "[").replace(")", "]")))
    except (ValueError, TypeError) as error:
        raise InvalidValueError("not three numbers", where=where, allowed="[x, y, z]", received=text) from error
    return x, y, z
