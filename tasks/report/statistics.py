"""Means, intervals and paired tests for arms that were scored on the same test clips."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats


def t_interval(values: npt.NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the Student t interval of the mean (Student, 1908); None for fewer than two values."""
    if len(values) < 2:
        return None
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def paired_bootstrap(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], draws: int, seed: int, confidence: float = 0.95
) -> tuple[float, float]:
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


def mcnemar(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Return the exact two-sided p of McNemar's test (1947): among clips that one arm gets right and the other wrong, is it a fair coin?"""
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)
