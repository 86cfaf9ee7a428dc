"""How different the clips of a set are from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from core.frechet import order

Array = npt.NDArray[np.float64]


def vendi(embeddings: Array) -> float:
    """Return the Vendi score exp(−Σ λ ln λ) (Friedman & Dieng, 2023), λ the eigenvalues of K/n, K the cosines.

    It is an effective number of different clips: n equal clips score 1, n orthogonal ones n.
    The eigenvalues come from the smaller of K/n and Xᵀ X/n, which share those above zero.

    Args:
        embeddings: unit-length [clips, dim], at least one clip.
    """
    count, dim = embeddings.shape
    gram = embeddings @ embeddings.T if count <= dim else embeddings.T @ embeddings
    values = np.linalg.eigvalsh(gram / count)
    kept = values[values > 1e-12]
    return float(np.exp(-(kept * np.log(kept)).sum()))


def vendi_at(embeddings: Array, clip_ids: Sequence[str], size: int, seed: int, repeats: int = 5) -> float | None:
    """Return the mean Vendi score of seeded subsets of ``size`` clips, so that sets of different sizes compare; None for fewer clips."""
    if not 0 < size <= len(embeddings):
        return None
    return float(np.mean([vendi(embeddings[order(clip_ids, seed + repeat)[:size]]) for repeat in range(repeats)]))


def pairwise_distance(embeddings: Array) -> float | None:
    """Return the mean of 1 − cosine over all pairs of two different clips; None for fewer than two clips.

    Σ over i ≠ j of x_i · x_j is ‖Σ x_i‖² − n for unit-length x.
    """
    count = len(embeddings)
    if count < 2:
        return None
    total = embeddings.sum(axis=0)
    return float(1 - (total @ total - count) / (count * (count - 1)))


def closeness(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the probability that a value of ``first`` exceeds one of ``second``, ties half (Mann & Whitney, 1947); None without values."""
    if not len(first) or not len(second):
        return None
    ordered, own = np.sort(np.asarray(second, dtype=np.float64)), np.asarray(first, dtype=np.float64)
    below, upto = np.searchsorted(ordered, own, "left"), np.searchsorted(ordered, own, "right")
    return float(((below + upto) / 2).mean() / len(ordered))
