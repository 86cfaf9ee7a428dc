"""Explicitness: can a logistic regression read the factors out of the codes? (Ridgeway & Mozer, 2018)."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from tasks.evaluate_disentanglement.metrics.representation import BINS, Array, Codes, Factors, Labels, check, scaled


def explicitness(factors: Factors, codes: Codes, bins: int = BINS) -> float:
    """Return 2 (AUC − ½), the mean over factors and their classes of the one-versus-rest ROC area. 0 is chance, 1 perfect.

    One multinomial logistic regression a factor with balanced classes (scikit-learn's C = 1) on codes scaled to 0…1, fitted and scored on
    all rows; continuous factors in equal bins. Multinomial, since a binary regression for each class cannot find a class between two
    others on one code.
    """
    check(factors, codes)
    inputs, labels = scaled(codes.values), factors.labels(bins)
    inputs = inputs[:, np.ptp(inputs, axis=0) > 0]
    if not inputs.shape[1]:
        return 0.0
    return float(np.mean([2 * (_area(inputs, labels[:, k]) - 0.5) for k in range(factors.number)]))


def _area(inputs: Array, labels: Labels) -> float:
    """Return the mean one-versus-rest ROC area of a fitted regression over the classes that occur."""
    model = LogisticRegression(class_weight="balanced", solver="newton-cholesky", tol=1e-8, max_iter=200).fit(inputs, labels)
    chances = model.predict_proba(inputs)
    if len(model.classes_) == 2:
        return roc_area(chances[:, 1], labels == model.classes_[1])
    return float(np.mean([roc_area(chances[:, c], labels == label) for c, label in enumerate(model.classes_)]))


def roc_area(scores: Array, positive: Labels) -> float:
    """Return the probability that a positive row's score exceeds a negative one's, ties half (Mann & Whitney, 1947)."""
    mine = int(positive.sum())
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - mine * (mine + 1) / 2) / (mine * (len(scores) - mine)))
