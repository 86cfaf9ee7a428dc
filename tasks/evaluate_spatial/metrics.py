"""Retrieval with several positives, chance, invariance and physical errors. Plain numpy, no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.spatial_model.directions import great_circle_deg

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
KS = (1, 5, 10)
CHUNK = 256
"""Queries whose scores are in memory at once."""


def retrieval(
    queries: Array, gallery: Array, query_labels: Labels, gallery_labels: Labels, itself: bool = False, ties: str = "expected",
    ks: Sequence[int] = KS,
) -> dict[str, float]:  # fmt: skip
    """Return R@K, median and mean rank of each query's first positive, chance, and how far above it.

    A query succeeds at K when an item with its label is among the K nearest by cosine; one without any positive does not count.

    Args:
        queries: [n, d].
        gallery: [m, d].
        query_labels: [n].
        gallery_labels: [m].
        itself: queries and gallery are the same items, and none may find itself.
        ties: items as near as the best positive count by ``expected`` rank in a random order, so that embeddings that are all the same
            score chance; ``optimistic`` puts the positive first, as DISSE's code does.
        ks: values of K.
    """
    one, other = unit(queries), unit(gallery)
    above, tied, tied_positives, positives = (
        np.concatenate(parts)
        for parts in zip(
            *(_counts(one, other, query_labels, gallery_labels, itself, start) for start in range(0, len(one), CHUNK)), strict=True
        )
    )
    counted = positives > 0
    size = len(other) - itself
    if ties == "optimistic":
        tied, tied_positives = np.zeros_like(tied), np.ones_like(tied_positives)
    found: dict[str, float] = {"queries": float(counted.sum())}
    if not counted.any():
        return found
    above, tied, tied_positives, positives = (values[counted] for values in (above, tied, tied_positives, positives))
    for k in ks:
        reached = float(np.mean(1 - _none_of(tied, tied_positives, np.clip(k - above, 0, None))))
        luck = float(np.mean(chance(positives, size, k)))
        found |= {f"R@{k}": reached, f"chance@{k}": luck, f"excess@{k}": reached - luck, f"lift@{k}": reached / luck}
    ranks = above + (tied + tied_positives + 1) / (tied_positives + 1)
    # The lower of the two middle ranks, as torch.median takes it.
    return {**found, "MedR": float(np.sort(ranks)[(len(ranks) - 1) // 2]), "MnR": float(ranks.mean())}


def _counts(queries: Array, gallery: Array, query_labels: Labels, gallery_labels: Labels, itself: bool, start: int) -> tuple[Array, ...]:
    """Return for a chunk of queries: items above the best positive, negatives and positives level with it, and positives in all."""
    scores = queries[start : start + CHUNK] @ gallery.T
    positive = query_labels[start : start + CHUNK, None] == gallery_labels[None]
    if itself:
        rows = np.arange(len(scores))
        scores[rows, start + rows], positive[rows, start + rows] = -np.inf, False
    best = np.where(positive, scores, -np.inf).max(1, initial=-np.inf, keepdims=True)
    # Cosines of the same vectors differ in their last digits by the order of the sums.
    level = np.abs(scores - np.where(np.isfinite(best), best, 0.0)) <= 1e-12
    above = ((scores > best) & ~level).sum(1)
    found = (above, (level & ~positive).sum(1), (level & positive).sum(1), positive.sum(1))
    return tuple(values.astype(float) for values in found)


def _none_of(negatives: Array, positives: Array, draws: Array) -> Array:
    """Return the chance that so many draws without replacement from negatives and positives find no positive (hypergeometric)."""
    missed = np.ones(np.broadcast_shapes(negatives.shape, positives.shape, draws.shape))
    for turn in range(int(draws.max(initial=0))):
        left = np.maximum(negatives - turn, 0) / np.maximum(negatives + positives - turn, 1)
        missed = np.where(turn < draws, missed * left, missed)
    return missed


def chance(positives: Array, size: int, k: int) -> Array:
    """Return R@K of a random order: 1 − C(size − positives, K) / C(size, K), by query."""
    return np.asarray(1 - _none_of(size - positives, positives, np.full(np.shape(positives), float(min(k, size)))))


def ceiling(labels: Labels, words: Labels) -> float:
    """Return the highest R@1 that captions allow: items whose words are the same cannot be told apart by them.

    Args:
        labels: what is to be found, by item.
        words: what the captions say of it, by item.
    """
    pairs = np.unique(np.stack([np.unique(words, return_inverse=True)[1], np.unique(labels, return_inverse=True)[1]]), axis=1)
    ways = np.bincount(pairs[0])
    return float(np.mean(1 / ways[np.unique(words, return_inverse=True)[1]]))


def unit(vectors: Array) -> Array:
    """Return rows [n, d] of length 1, in float64; rows of zeros stay."""
    wide = np.asarray(vectors, np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))


def iidr(vectors: Array, sources: Labels, spaces: Labels) -> dict[str, float]:
    """Return the inter/intra distance ratios of one embedding (DISSE's Table I), exact in O(items · d).

    ``source`` = mean cosine distance of pairs with the same space and different sources, over that of pairs with the same source and
    different spaces; ``spatial`` is its inverse. A ratio of 0 to 0, or one without pairs, is NaN; one over 0 alone is infinite.

    Args:
        vectors: [items, d], of any length but 0.
        sources: [items].
        spaces: [items].
    """
    rows = unit(vectors)
    source, space = (np.unique(values, return_inverse=True)[1].reshape(-1) for values in (sources, spaces))
    joint = np.unique(np.stack([source, space]), axis=1, return_inverse=True)[1].reshape(-1)
    sums = {name: _pair_distances(rows, groups) for name, groups in (("source", source), ("space", space), ("joint", joint))}
    same_source = (max(0.0, sums["source"][0] - sums["joint"][0]), sums["source"][1] - sums["joint"][1])
    same_space = (max(0.0, sums["space"][0] - sums["joint"][0]), sums["space"][1] - sums["joint"][1])
    across_spaces, across_sources = (total / pairs if pairs else np.nan for total, pairs in (same_source, same_space))
    return {
        "source": _ratio(across_sources, across_spaces),
        "spatial": _ratio(across_spaces, across_sources),
        "distance_same_source": float(across_spaces),
        "distance_same_space": float(across_sources),
        "pairs_same_source": float(same_source[1]),
        "pairs_same_space": float(same_space[1]),
    }


def _pair_distances(rows: Array, groups: npt.NDArray[np.intp]) -> tuple[float, int]:
    """Return Σ_{i<j in a group} (1 − x_i·x_j) = Σ_groups (n² − ‖Σ x‖²) / 2, and the number of pairs."""
    counts = np.bincount(groups).astype(np.float64)
    totals = np.zeros((len(counts), rows.shape[1]))
    np.add.at(totals, groups, rows)
    distances = (counts**2 - np.square(totals).sum(1)) / 2
    # A group of equal vectors is at distance 0 but for rounding.
    distances[distances < 1e-9 * counts**2] = 0.0
    return float(distances.sum()), int((counts * (counts - 1) / 2).sum())


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return float("nan") if numerator == 0 or np.isnan(numerator) else float("inf")
    return float(numerator / denominator)


def physical_errors(directions: Array, true_directions: Array, quantities: Array, true: Array, mean: Sequence[float]) -> dict[str, Any]:
    """Return errors in real units, and those of always saying the training rooms' mean.

    Args:
        directions: predicted vectors [items, 3].
        true_directions: [items, 3].
        quantities: predicted floor area in m², distance in m, T30 in ms [items, 3].
        true: the same as measured; NaN does not count.
        mean: the training rooms' mean of the three.
    """
    angle = great_circle_deg(directions, true_directions)
    found: dict[str, Any] = {
        "direction_deg": {
            "mean": float(angle.mean()),
            "median": float(np.median(angle)),
            "p90": float(np.quantile(angle, 0.9)),
            "chance": 90.0,
        }
    }
    for place, name in enumerate(("area_m2", "distance_m", "t30_ms")):
        known = np.isfinite(true[:, place])
        if known.any():
            column = true[known, place]
            error, guess = np.abs(quantities[known, place] - column).mean(), np.abs(mean[place] - column).mean()
            found[name] = {"mean_absolute": float(error), "of_the_mean": float(guess), "items": int(known.sum())}
    return found
