"""Rank correlation of distances with the order of an attribute's steps, from its lowest and from its highest setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Distance = Literal["l1", "l2", "cosine"]
DISTANCES: tuple[Distance, ...] = ("l1", "l2", "cosine")


def from_ends(distances: Callable[[int], Array], steps: int) -> float:
    """Return the mean of two Spearman correlations: distances from the first sound with 0, 1, …, from the last with …, 1, 0.

    Args:
        distances: of all sounds [steps] to a sound, by its number.
        steps: sounds.
    """
    order = np.arange(steps, dtype=np.float64)
    return (spearman(distances(0), order) + spearman(distances(steps - 1), order[::-1])) / 2


def to_sound(embeddings: Array, number: int, distance: Distance) -> Array:
    """Return the distances [steps] of all embeddings [steps, m] to one of them. ``cosine`` is one minus the cosine; 1 for a zero vector."""
    if distance == "cosine":
        lengths = np.linalg.norm(embeddings, axis=1)
        cosine = embeddings @ embeddings[number] / np.maximum(lengths * lengths[number], 1e-30)
        return np.asarray(1.0 - cosine)
    difference = embeddings - embeddings[number]
    return np.asarray(np.abs(difference).sum(1) if distance == "l1" else np.sqrt(np.square(difference).sum(1)))


def spearman(first: Array, second: Array) -> float:
    """Return Spearman's (1904) correlation: Pearson's of the ranks, equal values sharing their mean rank; 0 where all values are equal.

    Raises:
        ValueError: values that are not finite.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("ranks of values that are not finite")
    ranks = [mean_ranks(values) - (len(values) - 1) / 2 for values in (first, second)]
    lengths = float(np.sqrt(np.square(ranks[0]).sum() * np.square(ranks[1]).sum()))
    return float(ranks[0] @ ranks[1]) / lengths if lengths else 0.0


def mean_ranks(values: Array) -> Array:
    """Return the ranks from 0 of values [n]; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[inverse])
