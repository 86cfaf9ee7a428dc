"""Draws a clip's parameters such that the splits never share a value range.

Every parameter's range is cut into bins; bin b belongs to train, val, train, test, train, … in turn, so the splits' ranges are disjoint but
interleaved: test asks for interpolation, as new recordings of the same classes do, not for extrapolation.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

BINS = 16
PATTERN = ("train", "val", "train", "test")
"""Owner of bin b is PATTERN[b % 4]."""


class Draw:
    """Draws named parameters for one clip and remembers them with their relative positions."""

    def __init__(self, seed: int, label: str, split: str, index: int) -> None:
        digest = hashlib.sha256(f"{seed}/{label}/{split}/{index}".encode()).digest()
        self.seed = int.from_bytes(digest[:4], "big")
        self.split = split
        self.rng = np.random.default_rng(self.seed)
        self.values: dict[str, float] = {}
        self.positions: dict[str, float] = {}

    def __call__(self, name: str, low: float, high: float, log: bool = False) -> float:
        """Return a value in [low, high) from the bins of this clip's split; logarithmic ranges suit rates and frequencies."""
        own = [number for number in range(BINS) if PATTERN[number % len(PATTERN)] == self.split]
        # The margin keeps rounding from moving a value into the neighbour's bin.
        position = (self.rng.choice(own) + self.rng.uniform(0.02, 0.98)) / BINS
        value = math.exp(math.log(low) + position * math.log(high / low)) if log else low + position * (high - low)
        self.values[name], self.positions[name] = round(value, 6), round(position, 6)
        return value
