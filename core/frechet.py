"""Fréchet audio distance between two sets of clips, and what a small set does to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def distance(first: Array, second: Array) -> float:
    """Return ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of two sets of embeddings [clips, dim] (Kilgour et al., 2019; Dowson & Landau, 1982).

    (Σ₁Σ₂)^½ has the trace of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric, so no complex numbers arise and a singular Σ (fewer clips than
    dimensions) needs no regularisation. Σ divides by n − 1.
    """
    difference = first.mean(axis=0) - second.mean(axis=0)
    one, two = np.atleast_2d(np.cov(first, rowvar=False)), np.atleast_2d(np.cov(second, rowvar=False))
    root = _square_root(one)
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0.0)).sum()
    return float(max(0.0, difference @ difference + np.trace(one) + np.trace(two) - 2 * cross))


def _square_root(matrix: Array) -> Array:
    """Return the symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def order(clip_ids: Sequence[str], seed: int) -> list[int]:
    """Return an order of the clips that hangs on the seed and their ids only; its beginnings are the random subsets used here."""
    return sorted(range(len(clip_ids)), key=lambda i: hashlib.sha256(f"{seed}/{clip_ids[i]}".encode()).hexdigest())


def extrapolated(clips: Array, clip_ids: Sequence[str], reference: Array, seed: int, sizes: int = 8, repeats: int = 5) -> float | None:
    """Return FAD∞ (Chong & Forsyth, 2020; Gui et al., 2024): the distance to ``reference`` extrapolated to endlessly many clips.

    The distance of a subset of n clips is biased by a term close to b/n. Subsets from half of the clips to all of them are measured, a
    line is fitted over 1/n, and its value at 1/n = 0 is returned; it may fall below zero. The bias from ``reference``'s own size stays.

    Returns:
        None for fewer than 16 clips, where the line would be noise.
    """
    count = len(clips)
    if count < 16:
        return None
    inverse, found = [], []
    for size in np.unique(np.linspace(count // 2, count, sizes).round().astype(int)):
        for repeat in range(repeats if size < count else 1):
            inverse.append(1.0 / size)
            found.append(distance(clips[order(clip_ids, seed + repeat)[:size]], reference))
    # A size counts once, however often it was measured.
    weights = np.array([1.0 / np.sqrt(inverse.count(value)) for value in inverse])
    return float(np.polyfit(inverse, found, 1, w=weights)[1])
