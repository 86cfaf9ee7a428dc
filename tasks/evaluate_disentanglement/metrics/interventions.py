"""Metrics that hold factors fixed and look at what the codes do: Z-diff, Z-min-var, Z-max-var, IRS.

Sizes are the Ubisoft set's (Apache-2.0; the code is our own). Rows are drawn with replacement among those that share the fixed value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from sklearn.linear_model import LogisticRegression

from core.errors import InvalidValueError
from tasks.evaluate_disentanglement.metrics.representation import BINS, Codes, Factors, Labels, check

BATCH = 200
CHUNK = 500
"""Points that Z-diff makes at a time: 500 × 200 pairs."""
VARIANCE_ROWS = 10_000
LEAST_DEVIATION = 0.05
"""Codes with a smaller standard deviation are left out of the variance metrics."""
MAX_VAR_BINS = 3
"""Coarse, so that clips remain that share all factors but one."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows by label; only labels with two rows or more."""

    order: Labels
    """Row numbers, sorted by label."""
    starts: Labels
    """Where a group starts in ``order``."""
    counts: Labels
    """Rows of a group."""

    def draw(self, rng: Generator, number: int, size: int) -> Labels:
        """Return [number, size] rows: a random group each, uniformly, and random rows of it."""
        group = rng.integers(len(self.counts), size=(number, 1))
        return self.order[self.starts[group] + (rng.random((number, size)) * self.counts[group]).astype(np.int64)]

    def draw_pairs(self, rng: Generator, number: int) -> tuple[Labels, Labels]:
        """Return two different rows of a random group, for each of ``number`` pairs."""
        group = rng.integers(len(self.counts), size=number)
        count = self.counts[group]
        first = (rng.random(number) * count).astype(np.int64)
        second = (first + 1 + (rng.random(number) * (count - 1)).astype(np.int64)) % count
        return self.order[self.starts[group] + first], self.order[self.starts[group] + second]


def grouped(labels: Labels, what: str) -> Groups:
    """Group rows by label [N].

    Raises:
        InvalidValueError: no label has two rows.
    """
    dense = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(dense)
    starts = np.cumsum(counts) - counts
    if not (counts > 1).any():
        hint = "more clips, or fewer bins"
        raise InvalidValueError("no two clips share the fixed factors", where=what, allowed="two or more", received=len(labels), hint=hint)
    return Groups(np.argsort(dense, kind="stable"), starts[counts > 1], counts[counts > 1])


def z_diff(
    factors: Factors,
    codes: Codes,
    seed: int = 0,
    bins: int = BINS,
    batch: int = BATCH,
    train_points: int = 10_000,
    test_points: int = 5_000,
) -> float:
    """Return the β-VAE score (Higgins et al., 2017), scaled: 0 is chance, 1 best; may fall slightly below 0.

    A point is the mean |z − z'| over ``batch`` pairs of clips that share one factor's value; a logistic regression tells which factor.

    Raises:
        InvalidValueError: there is only one factor, or no two clips share a value.
    """
    check(factors, codes, least_factors=2)
    fixed = np.random.default_rng([seed, 1]).integers(factors.number, size=train_points + test_points)
    points = np.empty((len(fixed), codes.number))
    for where, first, second in difference_pairs(factors, fixed, seed, bins, batch):
        points[where] = np.abs(codes.values[first] - codes.values[second]).mean(axis=1)
    known = np.unique(fixed[:train_points])
    if len(known) == 1:
        return _scaled_accuracy(float((fixed[train_points:] == known[0]).mean()), factors.number)
    model = LogisticRegression(max_iter=10_000).fit(points[:train_points], fixed[:train_points])
    return _scaled_accuracy(float(model.score(points[train_points:], fixed[train_points:])), factors.number)


def difference_pairs(factors: Factors, fixed: Labels, seed: int, bins: int, batch: int) -> Iterator[tuple[Labels, Labels, Labels]]:
    """Yield (points, first rows, second rows), rows as [points, batch]: every pair shares a random value of the point's fixed factor."""
    labels = factors.labels(bins)
    groups = [grouped(labels[:, k], f"z_diff ({factors.names[k]})") for k in range(factors.number)]
    for number, start in enumerate(range(0, len(fixed), CHUNK)):
        rng = np.random.default_rng([seed, 2, number])
        chunk = np.arange(start, min(start + CHUNK, len(fixed)))
        for k, group in enumerate(groups):
            points = chunk[fixed[chunk] == k]
            first, second = group.draw_pairs(rng, len(points) * batch)
            yield points, first.reshape(-1, batch), second.reshape(-1, batch)


def z_min_var(
    factors: Factors, codes: Codes, seed: int = 0, bins: int = BINS, batch: int = BATCH, train_points: int = 800, test_points: int = 800
) -> float:
    """Return the FactorVAE score (Kim & Mnih, 2018), scaled: 0 is chance, 1 best; may fall slightly below 0.

    In ``batch`` clips that share one factor's value, the code with the least variance against its variance over all clips votes for it.

    Raises:
        InvalidValueError: there is only one factor, or no two clips share a value.
    """
    check(factors, codes, least_factors=2)
    labels = factors.labels(bins)
    groups = [grouped(labels[:, k], f"z_min_var ({factors.names[k]})") for k in range(factors.number)]
    return _voted(groups, codes, seed, batch, train_points, test_points, np.argmin)


def z_max_var(
    factors: Factors,
    codes: Codes,
    seed: int = 0,
    bins: int = MAX_VAR_BINS,
    batch: int = BATCH,
    train_points: int = 800,
    test_points: int = 800,
) -> float:
    """Return the R-FactorVAE score (Kim et al., 2019), scaled: 0 is chance, 1 best; may fall slightly below 0.

    As Z-min-var, but all factors except one are fixed, and the code with the greatest relative variance votes for that one.

    Raises:
        InvalidValueError: there is only one factor, or no two clips share all factors but one.
    """
    check(factors, codes, least_factors=2)
    labels = factors.labels(bins)
    groups = []
    for k in range(factors.number):
        others = np.unique(np.delete(labels, k, axis=1), axis=0, return_inverse=True)[1].ravel()
        groups.append(grouped(others, f"z_max_var (all but {factors.names[k]})"))
    return _voted(groups, codes, seed, batch, train_points, test_points, np.argmax)


def batches(groups: list[Groups], seed: int, batch: int, points: int) -> tuple[Labels, Labels]:
    """Return the factor [points] and the rows [points, batch] of every batch."""
    rng = np.random.default_rng([seed, 3])
    factor = rng.integers(len(groups), size=points)
    rows = np.empty((points, batch), dtype=np.int64)
    for k, group in enumerate(groups):
        rows[factor == k] = group.draw(rng, int((factor == k).sum()), batch)
    return factor, rows


def variance_rows(count: int, seed: int) -> Labels:
    """Return the rows, at most 10,000, that the variance over all clips is estimated on."""
    return np.random.default_rng([seed, 4]).permutation(count)[:VARIANCE_ROWS]


def _voted(
    groups: list[Groups], codes: Codes, seed: int, batch: int, train_points: int, test_points: int, choose: Callable[..., Labels]
) -> float:
    """Let one code vote in every batch, map codes to factors by majority, and score the map on other batches."""
    overall = codes.values[variance_rows(len(codes.values), seed)].var(axis=0, ddof=1)
    active = np.sqrt(overall) >= LEAST_DEVIATION
    if not active.any():
        return 0.0
    factor, rows = batches(groups, seed, batch, train_points + test_points)
    values = np.ascontiguousarray(codes.values[:, active])
    spread = np.stack([values[some].var(axis=0, ddof=1) for some in rows]) / overall[active]
    code = choose(spread, axis=1)
    votes = np.zeros((int(active.sum()), len(groups)), dtype=np.int64)
    np.add.at(votes, (code[:train_points], factor[:train_points]), 1)
    right = votes.argmax(axis=1)[code[train_points:]] == factor[train_points:]
    return _scaled_accuracy(float(right.mean()), len(groups))


def irs(factors: Factors, codes: Codes, quantile: float = 1.0, bins: int = BINS) -> float:
    """Return the interventional robustness score (Suter et al., 2019). 0…1; not 0 for noise, whose extremes lie in few clips.

    For each code 1 − (mean over a factor's values of the deviation from the mean at that value) / (greatest deviation from the mean of
    all), the best factor; codes are weighted by their greatest deviation.

    Args:
        factors: [N, K].
        codes: [N, D].
        quantile: of the deviations at one value; 1.0, the maximum, is the paper's, 0.99 disentanglement_lib's.
        bins: of continuous factors.
    """
    check(factors, codes)
    values = codes.values[:, np.ptp(codes.values, axis=0) > 0]
    if not values.shape[1]:
        return 0.0
    greatest = np.abs(values - values.mean(axis=0)).max(axis=0)
    labels = factors.labels(bins)
    deviations = np.zeros((factors.number, values.shape[1]))
    for k in range(factors.number):
        present = np.unique(labels[:, k])
        for label in present:
            some = values[labels[:, k] == label]
            away = np.abs(some - some.mean(axis=0))
            deviations[k] += (away.max(axis=0) if quantile >= 1 else np.quantile(away, quantile, axis=0)) / len(present)
    return float(np.average((1 - deviations / greatest).max(axis=0), weights=greatest))


def _scaled_accuracy(accuracy: float, factors: int) -> float:
    """Return accuracy with 0 for guessing among the factors."""
    return (accuracy - 1 / factors) / (1 - 1 / factors)
