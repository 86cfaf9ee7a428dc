"""Accuracy, average precision and R²."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from core.errors import InvalidValueError
from tasks.probing.folds import Kind

Array = npt.NDArray[Any]


def average_precision(scores: Array, wanted: Array) -> float:
    """Return Σ_n (R_n − R_{n−1}) P_n over the thresholds, as scikit-learn defines it; clips with equal scores come in together.

    Args:
        scores: [clips], higher for clips that are more likely to have the label.
        wanted: whether they have it [clips]; at least one.
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(wanted[order] > 0)
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return float(np.sum(np.diff(np.r_[0.0, recall]) * precision))


def per_class(scores: Array, targets: Array, kind: Kind) -> dict[int, float]:
    """Return the average precision of every class that some clip has, or R² of every number that varies."""
    if kind == "numbers":
        spread = ((targets - targets.mean(0)) ** 2).sum(0)
        missed = ((targets - scores) ** 2).sum(0)
        return {number: float(1 - missed[number] / spread[number]) for number in np.flatnonzero(spread > 0).tolist()}
    return {number: average_precision(scores[:, number], targets[:, number]) for number in np.flatnonzero(targets.sum(0) > 0).tolist()}


def metric_of(kind: Kind, asked: str) -> str:
    """Return what is scored: ``R2`` of numbers, else what is asked for, or else ``accuracy`` of one label and ``mAP`` of several.

    Raises:
        InvalidValueError: accuracy of several labels a clip.
    """
    if kind == "numbers":
        return "R2"
    if kind == "several" and asked == "accuracy":
        raise InvalidValueError("not defined for several labels a clip", where="metric", allowed="mAP", received=asked)
    return asked or ("mAP" if kind == "several" else "accuracy")


def score(scores: Array, targets: Array, kind: Kind, metric: str) -> float:
    """Return accuracy, or the mean of :func:`per_class`; 0 where nothing occurs or varies.

    Args:
        scores: [clips, classes].
        targets: 1 where a clip has a class, or the numbers [clips, classes].
        kind: of the targets.
        metric: ``accuracy``, ``mAP`` or ``R2``.
    """
    if metric == "accuracy":
        return float((scores.argmax(1) == targets.argmax(1)).mean())
    found = per_class(scores, targets, kind)
    return float(np.mean(list(found.values()))) if found else 0.0


def likelihoods(logits: Array, kind: Kind, metric: str) -> Array:
    """Return scores that can be compared between clips, as average precision does: for one label a clip softmax, otherwise as they are."""
    return np.asarray(softmax(logits, axis=1)) if kind == "one" and metric == "mAP" else logits
