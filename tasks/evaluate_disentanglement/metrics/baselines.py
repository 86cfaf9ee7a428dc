"""Codes to hold scores against: noise, and the factors themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.evaluate_disentanglement.metrics.representation import Codes, Factors


def random_codes(rows: int, dimensions: int, seed: Sequence[int]) -> Codes:
    """Return [rows, dimensions] draws of N(0, 1): what a metric gives for codes that know nothing."""
    return Codes(np.random.default_rng([*seed, 21]).standard_normal((rows, dimensions)))


def oracle_codes(factors: Factors, dimensions: int, seed: Sequence[int]) -> Codes:
    """Return the standardised factors, one code each, and N(0, 1) noise up to ``dimensions``; never fewer codes than factors."""
    known = (factors.values - factors.values.mean(axis=0)) / factors.values.std(axis=0)
    spare = max(dimensions - factors.number, 0)
    noise = np.random.default_rng([*seed, 22]).standard_normal((len(known), spare))
    return Codes(np.hstack([known, noise]))
