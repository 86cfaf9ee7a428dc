"""Uniform numbers that hang on a seed, an item's number and a place only: a SplitMix64 stream for each item, many items at once.

SplitMix64 (Steele, Lea, Flood, 2014) adds a constant to its state and mixes; so number k of a stream is worked out without those before.
numpy keeps the streams of its own generators' distributions only within a version, hence these.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
Words = npt.NDArray[np.uint64]


def mixed(words: Words) -> Words:
    """Return SplitMix64's mix of 64-bit words: a one-to-one map whose outputs look random."""
    found = (words ^ (words >> np.uint64(30))) * FIRST
    found = (found ^ (found >> np.uint64(27))) * SECOND
    return np.asarray(found ^ (found >> np.uint64(31)))


def streams(seed: int, numbers: Words) -> Words:
    """Return the state each item's stream begins with [items]; for one seed no two are alike."""
    start = mixed(np.asarray([seed % 2**64], np.uint64) + GOLDEN)
    return mixed(start + np.asarray(numbers, np.uint64))


def words(states: Words, count: int, first: int = 0) -> Words:
    """Return numbers ``first`` … ``first + count`` − 1 of the SplitMix64 streams with some states: [streams, count]."""
    places = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    return mixed(states[:, None] + places * GOLDEN)


def uniform(seed: int, numbers: Words, count: int, first: int = 0) -> npt.NDArray[np.float64]:
    """Return ``count`` numbers of [0, 1) for each item, from place ``first`` of its stream on: float64 [items, count]."""
    return np.asarray((words(streams(seed, numbers), count, first) >> np.uint64(11)) * 2.0**-53)
