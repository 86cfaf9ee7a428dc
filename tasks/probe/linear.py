"""Logistic and linear regression with an L2 penalty, and nearest neighbours; each has one best solution, so no seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

Array = npt.NDArray[Any]
STEPS = 1000
TOLERANCE = 1e-6
"""Of the steepest slope at the end."""
CURVATURE = 0.1
"""A usual p (1 − p) of a class; only the speed hangs on it."""
LEAST_SPREAD = 1e-12
"""Axes with a smaller share of the largest one's squares are rounding."""


@dataclass
class Design:
    """Embeddings turned to the axes of their own spread, which are few and can be scaled one by one; made once for all penalties."""

    middle: Array
    """Mean of the embeddings [d]."""
    axes: Array
    """Orthonormal directions in which they vary [d, r]."""
    places: Array
    """Embeddings along them [clips, r]."""
    spread: Array
    """Sums of squares along them [r]."""


def design(inputs: Array) -> Design:
    """Return the axes of embeddings [clips, d]; a penalty of squares looks the same from all sides, so nothing is lost in turning them."""
    middle = inputs.mean(0, dtype=np.float64)
    centred = inputs - middle
    wide = centred.shape[1] > centred.shape[0]
    spread, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    kept = spread > LEAST_SPREAD * max(1e-300, float(spread[-1]))
    spread, vectors = spread[kept], vectors[:, kept]
    axes = centred.T @ vectors / np.sqrt(spread) if wide else vectors
    return Design(middle, axes, centred @ axes, spread)


def logistic(inputs: Array | Design, targets: Array, penalty: float, several: bool, start: Array | None = None) -> Array:
    """Return weights [d + 1, classes], the last row the offsets, that minimise Σ losses + ‖W‖² / (2 C), as scikit-learn does; by L-BFGS.

    Every axis is scaled by the root of the curvature it has about there, w s² + 1 / C: embeddings of a network vary a thousand times
    more along some axes than along others, and plain L-BFGS takes minutes where this takes seconds.

    Args:
        inputs: embeddings [clips, d], or their :func:`design`.
        targets: 1 where a clip has a class [clips, classes].
        penalty: C, the inverse strength of the penalty; offsets are free of it.
        several: sigmoids and binary cross-entropy instead of one softmax.
        start: weights to begin at, of a neighbouring C: the lowest point is the same, and sooner reached.
    """
    seen = inputs if isinstance(inputs, Design) else design(inputs)
    clips, classes = targets.shape
    curved = np.append(np.sqrt(CURVATURE * seen.spread + 1 / penalty), np.sqrt(CURVATURE * clips))[:, None]
    wide = np.hstack([seen.places, np.ones((clips, 1))]) / curved.T
    wanted, held = targets.astype(np.float64), np.append(np.ones(len(seen.spread)), 0.0)[:, None] / curved**2 / penalty

    def loss(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(-1, classes)
        logits = wide @ weights
        if several:
            value = float(np.sum(np.logaddexp(0.0, logits) - wanted * logits))
            slope = expit(logits) - wanted
        else:
            chances = log_softmax(logits, axis=1)
            value, slope = -float(np.sum(wanted * chances)), np.exp(chances) - wanted
        # Divided by the number of clips, so that the tolerance means the same for any of them.
        return (value + 0.5 * float(np.sum(held * weights**2))) / clips, ((wide.T @ slope + held * weights) / clips).ravel()

    first = np.zeros((len(curved), classes))
    if start is not None:
        first = curved * np.vstack([seen.axes.T @ start[:-1], start[-1] + seen.middle @ start[:-1]])
    options = {"maxiter": STEPS, "gtol": TOLERANCE, "ftol": 1e-13}
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(-1, classes) / curved
    weights = seen.axes @ found[:-1]
    return np.vstack([weights, found[-1] - seen.middle @ weights])


def ridge(inputs: Array, targets: Array, penalty: float) -> Array:
    """Return weights [d + 1, numbers], the last row the offsets, that minimise ½ Σ ‖y − x W − b‖² + ‖W‖² / (2 C) (Hoerl & Kennard, 1970).

    Args:
        inputs: embeddings [clips, d].
        targets: [clips, numbers].
        penalty: C, the inverse strength of the penalty; offsets are free of it.
    """
    middle, mean = inputs.mean(0, dtype=np.float64), targets.mean(0, dtype=np.float64)
    centred = inputs - middle
    weights = np.linalg.solve(centred.T @ centred + np.eye(inputs.shape[1]) / penalty, centred.T @ (targets - mean))
    return np.vstack([weights, mean - middle @ weights])


def applied(weights: Array, inputs: Array) -> Array:
    """Return logits [clips, classes]."""
    return np.asarray(inputs.astype(np.float64) @ weights[:-1] + weights[-1])


def neighbours(known: Array, targets: Array, asked: Array, number: int) -> Array:
    """Return the mean targets [asked clips, classes] of the nearest known clips by cosine, each weighed by 1 + cosine.

    Args:
        known: embeddings [clips, d].
        targets: their classes, or numbers [clips, classes].
        asked: embeddings [asked clips, d].
        number: of neighbours; all there are where they are fewer.
    """

    def unit(vectors: Array) -> Array:
        return np.asarray(vectors / np.maximum(1e-12, np.linalg.norm(vectors, axis=1, keepdims=True)))

    cosines = unit(asked.astype(np.float64)) @ unit(known.astype(np.float64)).T
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : min(number, len(known))]
    weights = 1 + np.take_along_axis(cosines, nearest, axis=1)
    total = (targets[nearest] * weights[..., None]).sum(1)
    return np.asarray(total / np.maximum(1e-12, weights.sum(1))[:, None])
