"""Scores by class, and what is reached without looking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.probing.folds import Fold, Targets
from tasks.probing.scores import Array, per_class


def chance(task: Targets, fold: Fold, metric: str) -> float:
    """Return what is scored without looking: the most frequent training label, the average precision of random scores, or R² 0."""
    targets = task.values[fold.test]
    if metric == "R2":
        return 0.0
    if metric == "mAP":
        shares = targets.mean(0)
        return float(shares[shares > 0].mean())
    return float((targets.argmax(1) == task.values[fold.train].sum(0).argmax()).mean())


def by_class(task: Targets, rounds: Sequence[Fold], scores: Sequence[Array], metric: str) -> dict[str, float]:
    """Return the recall of each label over all test clips; for other metrics each class's or number's own score, mean over the folds.

    Args:
        task: what was to be told.
        rounds: the folds.
        scores: of each fold's test clips [clips, classes].
        metric: ``accuracy``, ``mAP`` or ``R2``.
    """
    values: dict[str, list[float]] = {name: [] for name in task.classes}
    for fold, found in zip(rounds, scores, strict=True):
        targets = task.values[fold.test]
        if metric != "accuracy":
            for number, value in per_class(found, targets, task.kind).items():
                values[task.classes[number]].append(value)
        else:
            for true, named in zip(targets.argmax(1).tolist(), found.argmax(1).tolist(), strict=True):
                values[task.classes[true]].append(float(true == named))
    return {name: float(np.mean(known)) for name, known in values.items() if known}
