"""UDR: choosing models without labels. A disentangled model finds the same codes again from another seed (Duan et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from core.errors import InvalidValueError
from tasks.evaluate_disentanglement.metrics.lasso import descend
from tasks.evaluate_disentanglement.metrics.representation import Array, Codes

LEAST_KL = 0.01
"""Nats; a dimension with less carries no information."""
PENALTY = 0.1
"""Lasso's penalty on standardised codes, that of the published code."""

Form = Literal["lasso", "spearman"]


def udr(codes: Codes, siblings: Sequence[Codes], form: Form = "lasso") -> float:
    """Return the median over siblings of how one-to-one their codes and the model's match. 0…1; collapsed models have 0.

    For a pair, with R the [a, b] absolute Lasso weights (of a model's codes on the sibling's) or rank correlations of the informative
    dimensions: [Σ_b max_a R² / Σ_a R + Σ_a max_b R² / Σ_b R] / (number of a + number of b).

    Args:
        codes: [N, D] of the model.
        siblings: codes of the same clips by the same method from other seeds; one at least, better five.
        form: ``lasso`` (the paper's better one) or ``spearman``.

    Raises:
        InvalidValueError: no siblings, plain arrays, or other clips.
    """
    if not siblings:
        raise InvalidValueError("needs models from other seeds", where="udr.siblings", allowed="one or more", received=siblings)
    for given in (codes, *siblings):
        if not isinstance(given, Codes):
            raise InvalidValueError("takes Codes", where="udr", allowed="metrics.Codes(values)", received=type(given).__name__)
        if len(given.values) != len(codes.values):
            counts = (len(codes.values), len(given.values))
            raise InvalidValueError("codes of other clips", where="udr.siblings", allowed="as many rows", received=counts)
    if form not in ("lasso", "spearman"):
        raise InvalidValueError("no such form of UDR", where="udr.form", allowed=("lasso", "spearman"), received=form)
    return float(np.median([similarity(sibling, codes, form) for sibling in siblings]))


def similarity(first: Codes, second: Codes, form: Form) -> float:
    """Return the score of one ordered pair: ``second``'s codes explained by ``first``'s."""
    kept = [given.values[:, given.kl > LEAST_KL] for given in (first, second)]
    if not kept[0].shape[1] or not kept[1].shape[1]:
        return 0.0
    relation = (_weights if form == "lasso" else _rank_correlations)(*kept)
    total = _strength(relation).sum() + _strength(relation.T).sum()
    return float(total / sum(relation.shape))


def _strength(relation: Array) -> Array:
    """Return max² / sum of every column, 0 where the column is 0."""
    sums = relation.sum(axis=0)
    return relation.max(axis=0) ** 2 / np.where(sums > 0, sums, 1.0)


def _standard(values: Array) -> Array:
    """Return columns with mean 0 and variance 1; constant ones become 0."""
    centred, spread = values - values.mean(axis=0), values.std(axis=0)
    return centred / np.where(spread > 0, spread, 1.0)


def _weights(first: Array, second: Array) -> Array:
    """Return |Lasso weights| [a, b] of every column of ``second`` on all of ``first``."""
    one, other = _standard(first), _standard(second)
    gram = np.broadcast_to(one.T @ one / len(one), (other.shape[1], one.shape[1], one.shape[1]))
    return np.abs(descend(gram, (one.T @ other / len(one)).T, np.full(other.shape[1], PENALTY))).T


def _rank_correlations(first: Array, second: Array) -> Array:
    """Return |Spearman's ρ| [a, b]."""
    one, other = (_standard(rankdata(values, axis=0)) for values in (first, second))
    return np.abs(one.T @ other / len(one))
