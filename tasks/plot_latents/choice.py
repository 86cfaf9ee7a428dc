"""Which held-out clips are shown, and what they are called."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from core.errors import InvalidValueError
from tasks.grid.features import Features
from tasks.grid.reading import Factor


def rank(seed: int, index: int, purpose: str) -> int:
    """Return a number that orders clips at random, but by seed and clip only: any subset of the clips keeps its order."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()[:8], "big")


def held_out(features: Features, per_class: int, seed: int) -> tuple[list[int], str]:
    """Return rows of held-out clips, ``per_class`` of each class of the first nominal factor in the classes' order, and their split.

    Raises:
        InvalidValueError: no clip is held out.
    """
    for split in ("test", "val"):
        table = features.table[features.table["split"] == split]
        if len(table):
            break
    else:
        where = str(features.folder)
        raise InvalidValueError("nothing is held out", where=where, allowed="clips of split test or val", received=len(features.table))
    order = table.assign(_rank=[rank(seed, row, "clip") for row in table.index]).sort_values("_rank")
    nominal = next((item for item in features.factors if item.kind == "nominal" and len(item.values) > 1), None)
    if nominal is None:
        return [int(row) for row in order.index[:per_class]], split
    rows = [int(row) for _, part in order.groupby(nominal.name, sort=True) for row in part.index[:per_class]]
    return rows, split


def base(rows: list[int], seed: int) -> int:
    """Return the one of these rows that traversals start from."""
    return min(rows, key=lambda row: rank(seed, row, "base"))


def title(row: pd.Series, factors: list[Factor]) -> str:
    """Return what a clip is, with units: ``square · frequency 3172 Hz · amplitude 0.43``; factors that do not vary are left out."""
    parts = []
    for factor in factors:
        if len(factor.values) < 2:
            continue
        value = row[factor.name]
        if factor.kind == "nominal":
            parts.append(str(factor.values[int(value)]))
        else:
            number = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
            parts.append(f"{factor.name} {number} {factor.unit}".strip())
    return " · ".join(parts) or f"clip {row.name}"


def values(steps: int, reach: float) -> np.ndarray:
    """Return the values of a traversal, −reach to +reach, float32 [steps]."""
    return np.linspace(-reach, reach, steps, dtype=np.float32)
