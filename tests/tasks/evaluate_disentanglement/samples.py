"""Made factors and codes that several test modules score."""

import numpy as np

from tasks.evaluate_disentanglement.metrics import Codes, Factors


def sample(seed=0, count=500):
    """Correlated factors of both kinds and codes that mix them; the last code never varies."""
    rng = np.random.default_rng(seed)
    wave, pitch = rng.integers(4, size=count), rng.random(count)
    level = 0.5 * pitch + rng.random(count)
    mixed = np.stack([wave + 0.3 * pitch, pitch**2 + 0.2 * wave, rng.standard_normal(count), level - pitch], 1)
    codes = np.hstack([mixed + 0.1 * rng.standard_normal(mixed.shape), np.full((count, 1), 0.7)])
    factors = Factors(np.stack([wave, pitch, level], 1), ("nominal", "continuous", "continuous"), ("wave", "pitch", "level"))
    return factors, Codes(codes)
