"""Lasso from moments: the rows are gone through once, every penalty and fold is then a problem of a few codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.evaluate_disentanglement.metrics.representation import Array

ALPHAS = (0.0001, 0.001, 0.01, 0.1, 0.2, 0.4, 0.8, 1.0)
"""Penalties tried, those of the Ubisoft set."""
FOLDS = 10
SWEEPS, SETTLED = 5_000, 1e-11
"""Sweeps at most, and the change of a weight below which it has settled."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A Lasso whose penalty was chosen by cross-validation."""

    weights: Array
    """[D, T] weights fitted on all rows."""
    alpha: float
    """The chosen penalty: the one with the least error over the folds."""
    predictions: Array
    """[N, T] predictions, each made without the row's own fold."""


def descend(gram: Array, product: Array, alpha: Array) -> Array:
    """Minimise ½ wᵀGw − wᵀq + α‖w‖₁ for many problems at once, by cyclic coordinate descent (Friedman et al., 2010).

    Args:
        gram: [P, D, D] XᵀX / n of centred inputs.
        product: [P, D] Xᵀy / n of centred targets.
        alpha: [P] penalties; scikit-learn's Lasso has the same scale.

    Returns:
        [P, D] weights; 0 for an input that never varies.
    """
    weights = np.zeros_like(product)
    diagonal = np.einsum("pdd->pd", gram)
    divisor = np.where(diagonal > 1e-15, diagonal, np.inf)
    for _ in range(SWEEPS):
        moved = 0.0
        for j in range(product.shape[1]):
            pull = product[:, j] - np.einsum("pd,pd->p", gram[:, j], weights) + diagonal[:, j] * weights[:, j]
            new = np.sign(pull) * np.maximum(np.abs(pull) - alpha, 0.0) / divisor[:, j]
            moved = max(moved, float(np.abs(new - weights[:, j]).max()))
            weights[:, j] = new
        if moved < SETTLED:
            break
    return weights


def folds_of(count: int, seed: int) -> Array:
    """Return the fold 0…9 of every row, in random order and of equal sizes."""
    return np.random.default_rng([seed, 7]).permutation(np.arange(count) % min(FOLDS, count))


def cross_validated(inputs: Array, targets: Array, seed: int) -> Fit:
    """Choose the penalty by 10-fold cross-validation over all targets together, and fit.

    Args:
        inputs: [N, D].
        targets: [N, T]; the penalty is the same for all.
        seed: of the folds.
    """
    dims, outputs, fold = inputs.shape[1], targets.shape[1], folds_of(len(inputs), seed)
    together = np.hstack([inputs, targets])
    folds = int(fold.max()) + 1
    counts = np.bincount(fold, minlength=folds).astype(np.float64)
    sums = np.stack([together[fold == held].sum(axis=0) for held in range(folds)])
    squares = np.stack([together[fold == held].T @ together[fold == held] for held in range(folds)])
    # The last set of moments is that of all rows.
    count = np.append(counts.sum() - counts, counts.sum())
    mean = np.vstack([sums.sum(axis=0) - sums, sums.sum(axis=0)[None]]) / count[:, None]
    second = np.concatenate([squares.sum(axis=0) - squares, squares.sum(axis=0)[None]]) / count[:, None, None]
    centred = second - mean[:, :, None] * mean[:, None, :]
    shape = (folds + 1, len(ALPHAS), outputs)
    gram = np.broadcast_to(centred[:, None, None, :dims, :dims], (*shape, dims, dims)).reshape(-1, dims, dims)
    product = np.broadcast_to(centred[:, :dims, dims:].transpose(0, 2, 1)[:, None], (*shape, dims)).reshape(-1, dims)
    alpha = np.broadcast_to(np.array(ALPHAS)[None, :, None], shape).reshape(-1)
    weights = descend(gram, product, alpha).reshape(*shape, dims).transpose(0, 1, 3, 2)  # [folds + 1, alphas, D, T]
    offset = mean[:, None, dims:] - np.einsum("fd,fadt->fat", mean[:, :dims], weights)
    errors = np.zeros(len(ALPHAS))
    for held in range(folds):
        rows = fold == held
        for a in range(len(ALPHAS)):
            errors[a] += ((inputs[rows] @ weights[held, a] + offset[held, a] - targets[rows]) ** 2).mean()
    best = int(errors.argmin())
    found = np.empty_like(targets)
    for held in range(folds):
        rows = fold == held
        found[rows] = inputs[rows] @ weights[held, best] + offset[held, best]
    return Fit(weights[folds, best], ALPHAS[best], found)
