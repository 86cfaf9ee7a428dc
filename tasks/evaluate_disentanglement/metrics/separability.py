"""SAP: how much better the best single code predicts a factor than the second best (Kumar et al., 2018)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.model_selection import StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

from core.errors import InvalidValueError
from tasks.evaluate_disentanglement.metrics.representation import Array, Codes, Factors, Labels, check, gap, scaled

DEEPEST = 9
"""Depths 1…9 are tried."""
FOLDS = 10

Form = Literal["by_kind", "regression"]


def sap(factors: Factors, codes: Codes, form: Form = "by_kind", seed: int = 0) -> float:
    """Return the mean over factors of the gap between the best and the second code's score. 0…1.

    A continuous factor's score is R² of the straight line fitted on the code. A nominal factor's is the 10-fold cross-validated accuracy of
    a decision tree on the code, of the best depth 1…9, brought to R²'s scale: 0 for always naming the most frequent class, 1 for no error.

    Args:
        factors: [N, K].
        codes: [N, D].
        form: ``regression`` takes class indexes for numbers, as the published SynTone evaluation does.
        seed: of the folds.
    """
    check(factors, codes)
    return float(gap(sap_matrix(factors, codes, form, seed)).mean())


def sap_matrix(factors: Factors, codes: Codes, form: Form = "by_kind", seed: int = 0) -> Array:
    """Return the [K, D] scores behind :func:`sap`.

    Raises:
        InvalidValueError: no such form.
    """
    check(factors, codes)
    if form not in ("by_kind", "regression"):
        raise InvalidValueError("no such form of SAP", where="sap.form", allowed=("by_kind", "regression"), received=form)
    scores = r_squared(factors.values, codes.values)
    if form == "by_kind":
        labels, columns = factors.labels(), scaled(codes.values)
        for k in [k for k, kind in enumerate(factors.kinds) if kind == "nominal"]:
            scores[k] = [tree_score(labels[:, k], columns[:, j], seed) for j in range(codes.number)]
    return scores


def r_squared(first: Array, second: Array) -> Array:
    """Return [K, D] R² of every column on every other's straight line: their squared correlation; 0 for a constant column."""
    standard = []
    for values in (first, second):
        centred = values - values.mean(axis=0)
        lengths = np.linalg.norm(centred, axis=0)
        standard.append(centred / np.where(lengths > 0, lengths, 1.0))
    return np.minimum((standard[0].T @ standard[1]) ** 2, 1.0)


def tree_score(labels: Labels, code: Array, seed: int) -> float:
    """Return the cross-validated accuracy, corrected for chance, of the depth for which it is best; never below 0.

    Greedy trees are nested: the tree of depth d is the top of the deepest one, so one fit a fold tells all depths.

    Args:
        labels: [N] classes.
        code: [N] one code.
        seed: of the folds.

    Raises:
        InvalidValueError: a class with a single clip.
    """
    counts = np.bincount(labels)
    rarest = int(counts[counts > 0].min())
    if rarest < 2:
        raise InvalidValueError("a class with one clip cannot be cross-validated", where="sap", allowed="two or more", received=rarest)
    folds = StratifiedKFold(min(FOLDS, rarest), shuffle=True, random_state=seed)
    column = code[:, None].astype(np.float32)
    right = [
        (nested_predictions(column[train], labels[train], column[test], seed) == labels[test]).mean(axis=1)
        for train, test in folds.split(column, labels)
    ]
    accuracy, chance = float(np.mean(right, axis=0).max()), counts.max() / len(labels)
    return max(0.0, (accuracy - chance) / (1 - chance))


def nested_predictions(column: Array, labels: Labels, asked: Array, seed: int) -> Labels:
    """Return [9, M] predictions for ``asked`` [M, 1] of the trees of depth 1…9 fitted on ``column`` [N, 1]."""
    fitted = DecisionTreeClassifier(max_depth=DEEPEST, random_state=seed).fit(column, labels)
    tree, node = fitted.tree_, np.zeros(len(asked), dtype=np.int64)
    named = fitted.classes_[tree.value[:, 0, :].argmax(axis=1)]
    found = []
    for _ in range(DEEPEST):
        down = np.where(asked[:, 0] <= tree.threshold[node], tree.children_left[node], tree.children_right[node])
        node = np.where(tree.children_left[node] >= 0, down, node)
        found.append(named[node])
    return np.stack(found)
