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


def sign_flip(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], draws: int, seed: int) -> float:
    """Return the two-sided p of the paired sign-flip test (Fisher, 1935): are the clips' differences symmetric around zero?

    Scores are averaged over the seeds, so a clip that half of the seeds get right counts half. With one seed this is McNemar's test.
    """
    rng = np.random.default_rng(seed)
    found = stats.permutation_test(
        (second, first), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", n_resamples=draws, vectorized=True, rng=rng
    )
    return float(found.pvalue)
