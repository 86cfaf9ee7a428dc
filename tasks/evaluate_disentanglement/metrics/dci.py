"""DCI: disentanglement, completeness and informativeness of a model that predicts every factor from all codes (Eastwood & Williams, 2018).

Two models, as in the Ubisoft set (Apache-2.0; the code is our own): Lasso and random forest. Different from there: informativeness is
measured on rows the model was not fitted on (a forest "explains" noise that it was fitted on), a code without importance is passed over
instead of ending the sum, folds are shuffled (grid rows are sorted by frequency), and nominal factors are predicted as classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from tasks.evaluate_disentanglement.metrics.lasso import cross_validated
from tasks.evaluate_disentanglement.metrics.representation import Array, Codes, Factors, Labels, check, scaled

TREES = 10
DEPTHS = (8, 16, 32, 64, 128)
SHARES = (0.2, 0.4, 0.8, 1.0)
"""Shares of the codes that a split may look at."""
TUNING_ROWS, TUNING_FOLDS = 1_000, 3
"""Depth and share are chosen on this many rows: all 32,000 in ten folds would be 2,000 trees a factor, some twenty minutes."""
FIT_ROWS, TEST_ROWS = 10_000, 5_000
"""Rows fitted and tested at most; disentanglement_lib's sizes."""


@dataclass(frozen=True, eq=False)
class Dci:
    """The three scores, each 0…1."""

    disentanglement: float
    """Does each code matter for one factor only?"""
    completeness: float
    """Is each factor predicted by one code only?"""
    informativeness: float
    """How well are the factors predicted at all?"""
    importance: Array
    """[K, D] the importances behind the first two."""


def dci_lasso(factors: Factors, codes: Codes, seed: int = 0) -> Dci:
    """Predict by Lasso; importance is |weight|, all columns scaled to 0…1.

    A nominal factor is one regression for each class's indicator: importance is the mean |weight| over classes, and a clip is given the
    class whose mean fitted vector is nearest to its own, which avoids the masking of middle classes (Hastie et al., 2009, section 4.2).
    Informativeness is out of fold: 1 − 12 MSE (12 MSE is 1 for guessing the middle of a uniform factor), or accuracy corrected for
    chance.
    """
    check(factors, codes)
    inputs, labels = scaled(codes.values), factors.labels()
    importance, known = np.zeros((factors.number, codes.number)), np.zeros(factors.number)
    for k, kind in enumerate(factors.kinds):
        if kind == "nominal":
            fit = cross_validated(inputs, np.eye(labels[:, k].max() + 1)[labels[:, k]], seed)
            right = _nearest_class(fit.predictions, labels[:, k]) == labels[:, k]
            known[k] = _above_chance(float(right.mean()), labels[:, k])
        else:
            target = scaled(factors.values[:, k : k + 1])
            fit = cross_validated(inputs, target, seed)
            known[k] = max(0.0, 1 - 12 * float(((fit.predictions - target) ** 2).mean()))
        importance[k] = np.abs(fit.weights).mean(axis=1)
    return scored(importance, known)


def dci_forest(factors: Factors, codes: Codes, seed: int = 0) -> Dci:
    """Predict by a random forest of ten trees (a classifier for nominal factors); importance is the decrease of impurity.

    Depth and share of codes are chosen by cross-validation on at most 1,000 rows; at most 10,000 are fitted and 5,000 others tested, a
    third of the rows in small sets.
    """
    check(factors, codes)
    order = np.random.default_rng([seed, 11]).permutation(len(codes.values))
    test_rows = order[: min(TEST_ROWS, len(order) // 3)]
    fit_rows = order[len(test_rows) :][:FIT_ROWS]
    inputs, labels, values = scaled(codes.values).astype(np.float32), factors.labels(), scaled(factors.values)
    importance, known = np.zeros((factors.number, codes.number)), np.zeros(factors.number)
    for k, kind in enumerate(factors.kinds):
        target = labels[:, k] if kind == "nominal" else values[:, k]
        depth, share = _tuned(inputs[fit_rows[:TUNING_ROWS]], target[fit_rows[:TUNING_ROWS]], kind, seed)
        model = forest(kind, depth, share, seed).fit(inputs[fit_rows], target[fit_rows])
        found = model.predict(inputs[test_rows])
        importance[k] = model.feature_importances_
        if kind == "nominal":
            known[k] = _above_chance(float((found == target[test_rows]).mean()), target[test_rows])
        else:
            known[k] = max(0.0, 1 - 12 * float(((found - target[test_rows]) ** 2).mean()))
    return scored(importance, known)


def forest(kind: str, depth: int, share: float, seed: int) -> RandomForestClassifier | RandomForestRegressor:
    """Return the untrained forest for a kind of factor."""
    maker = RandomForestClassifier if kind == "nominal" else RandomForestRegressor
    return maker(n_estimators=TREES, max_depth=depth, max_features=share, random_state=seed)


def scored(importance: Array, known: Array) -> Dci:
    """Work out the scores from importances [K, D] ≥ 0 and informativeness by factor [K].

    D = Σ_j ρ_j (1 − H_K(R_·j / Σ R_·j)), ρ_j the code's share of all importance; C = mean_k (1 − H_D(R_k· / Σ R_k·)); entropies to the base
    K and D. A factor that no code matters for has completeness 0.
    """
    total = importance.sum()
    weight = importance.sum(axis=0) / total if total > 0 else np.zeros(importance.shape[1])
    complete = np.where(importance.sum(axis=1) > 0, _purity(importance), 0.0)
    return Dci(float(weight @ _purity(importance.T)), float(complete.mean()), float(known.mean()), importance)


def _purity(rows: Array) -> Array:
    """Return 1 − entropy of every row's shares, to the base of its length; 1 where there is one column."""
    sums = rows.sum(axis=1, keepdims=True)
    shares = rows / np.where(sums > 0, sums, 1.0)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return 1 - entropy / (np.log(rows.shape[1]) if rows.shape[1] > 1 else 1.0)


def _nearest_class(fitted: Array, labels: Labels) -> Labels:
    """Return the class whose mean fitted vector is nearest, for fitted indicators [N, classes]."""
    centres = np.stack([fitted[labels == label].mean(axis=0) for label in range(fitted.shape[1])])
    distances = ((fitted[:, None, :] - centres[None]) ** 2).sum(axis=2)
    return distances.argmin(axis=1)


def _above_chance(accuracy: float, labels: Labels) -> float:
    """Return accuracy with 0 for always naming the most frequent class; never below 0."""
    chance = np.bincount(labels).max() / len(labels)
    return max(0.0, (accuracy - chance) / (1 - chance)) if chance < 1 else 0.0


def _tuned(inputs: Array, target: Array, kind: str, seed: int) -> tuple[int, float]:
    """Choose depth and share of codes by cross-validated error; the first best one wins."""
    fold = np.arange(len(target)) % TUNING_FOLDS  # the rows are in random order already
    best, chosen = np.inf, (DEPTHS[0], SHARES[0])
    for share in SHARES:
        for depth in DEPTHS:
            error, reached = 0.0, 0
            for held in range(TUNING_FOLDS):
                model = forest(kind, depth, share, seed).fit(inputs[fold != held], target[fold != held])
                found = model.predict(inputs[fold == held])
                wrong = found != target[fold == held] if kind == "nominal" else (found - target[fold == held]) ** 2
                error += float(wrong.mean())
                reached = max(reached, *(tree.get_depth() for tree in model.estimators_))
            if error < best:
                best, chosen = error, (depth, share)
            if reached < depth:
                break  # no tree came to the limit: a higher one gives the same forests
    return chosen
