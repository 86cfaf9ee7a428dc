"""Means, intervals and tests for arms scored on the same draws, seeds and test clips, and for methods trained with several seeds."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
MOST_EXACT = 16
"""Differences up to which all sign changes are tried: 2¹⁶ of them."""


def t_interval(values: Array, confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the Student t interval of the mean (Student, 1908); None for fewer than two values."""
    if len(values) < 2:
        return None
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def paired_t(differences: Array) -> float | None:
    """Return the two-sided p of the paired t-test (Student, 1908); None for fewer than two differences.

    Differences that are all the same leave no spread to test against: p is 1 when they are zero, 0 otherwise.
    """
    if len(differences) < 2:
        return None
    spread = float(differences.std(ddof=1))
    if spread < 1e-12:
        return 1.0 if abs(float(differences.mean())) < 1e-12 else 0.0
    statistic = float(differences.mean()) / (spread / np.sqrt(len(differences)))
    return float(2 * stats.t.sf(abs(statistic), len(differences) - 1))


def welch_t(first: Array, second: Array) -> float | None:
    """Return the two-sided p of Welch's (1947) t-test of two means of independent runs; None unless both sides have two runs.

    Runs that are all the same leave no spread to test against: p is 1 when the means agree, 0 otherwise.
    """
    if min(len(first), len(second)) < 2:
        return None
    parts = np.array([values.var(ddof=1) / len(values) for values in (first, second)])
    difference = abs(float(first.mean() - second.mean()))
    if parts.sum() < 1e-24:
        return 1.0 if difference < 1e-12 else 0.0
    degrees = float(parts.sum() ** 2 / (parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1)))
    return float(2 * stats.t.sf(difference / np.sqrt(parts.sum()), degrees))


def exact_sign_flip(differences: Array) -> float | None:
    """Return the two-sided p of Fisher's (1935) sign-flip test over all 2ⁿ sign changes; None for none or more than 16 differences.

    It assumes symmetry instead of normality. Its least value is 2/2ⁿ: five draws can reach 0.0625 and no less.
    """
    if not 1 <= len(differences) <= MOST_EXACT:
        return None
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(differences))))
    sums = np.abs(signs @ differences)
    return float(np.mean(sums >= abs(float(differences.sum())) - 1e-12))


def paired_bootstrap(first: Array, second: Array, draws: int, seed: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of mean(second − first) over resampled clips (Efron, 1979).

    Args:
        first: score per clip [clips], seeds averaged.
        second: the same clips under the other arm.
        draws: resamplings.
        seed: of the resampling.
        confidence: of the interval.
    """
    difference = second - first
    picked = np.random.default_rng(seed).integers(0, len(difference), (draws, len(difference)))
    means = difference[picked].mean(axis=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def sign_flip(first: Array, second: Array, draws: int, seed: int) -> float:
    """Return the two-sided p of the paired sign-flip test (Fisher, 1935): are the clips' differences symmetric around zero?

    Scores are averaged over the seeds, so a clip that half of the seeds get right counts half. With one seed this is McNemar's test.
    """
    rng = np.random.default_rng(seed)
    found = stats.permutation_test(
        (second, first), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", n_resamples=draws, vectorized=True, rng=rng
    )
    return float(found.pvalue)
