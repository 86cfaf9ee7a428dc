"""How far apart embeddings of presets and of sounds lie as two clouds (the modality gap; Liang et al., 2022)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

Array = npt.NDArray[Any]
SEED, TEST_SHARE, STEPS = 42, 0.2, 1000


def centroid_distance(presets: Array, audio: Array) -> float:
    """Return the Euclidean distance between the means of both kinds [n, m], each embedding scaled to length 1 first."""
    means = [unit(part).mean(0) for part in (presets, audio)]
    return float(np.linalg.norm(means[0] - means[1]))


def telling_accuracy(presets: Array, audio: Array) -> float:
    """Return how often a logistic regression tells a preset's embedding from a sound's, on a fifth that it was not fitted on.

    0.5: no gap, 1: two clouds that a plane parts. Embeddings are scaled to length 1; scikit-learn's defaults, stratified, seed 42.
    """
    both, kinds = unit(np.concatenate([presets, audio])), np.repeat([0, 1], [len(presets), len(audio)])
    fit, held, fit_kinds, held_kinds = train_test_split(both, kinds, test_size=TEST_SHARE, random_state=SEED, stratify=kinds)
    return float(LogisticRegression(max_iter=STEPS).fit(fit, fit_kinds).score(held, held_kinds))


def unit(rows: Array) -> Array:
    """Return rows [n, m] in float64, scaled to length 1; a row of zeros stays."""
    rows = np.asarray(rows, np.float64)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
