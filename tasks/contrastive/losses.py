"""Contrastive losses of two views of a batch. Embeddings are those of the whole batch: gather them over ranks first."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from core.errors import InvalidValueError

LOSSES = ("align_uniform", "nt_xent", "vicreg", "barlow")


def align(first: Tensor, second: Tensor, alpha: float = 2.0) -> Tensor:
    """Return mean ‖x − y‖^α over the pairs of unit vectors [pairs, d] (Wang & Isola, 2020)."""
    squares = (first - second).square().sum(1)
    # The root's slope at 0 is infinite: two views that agree would turn every weight into NaN.
    return squares.mean() if alpha == 2 else squares.clamp(min=1e-12).pow(alpha / 2).mean()


def uniform(vectors: Tensor, t: float = 2.0) -> Tensor:
    """Return log mean exp(−t ‖x_i − x_j‖²) over all i < j of unit vectors [n, d] (Wang & Isola, 2020); 0 when all are one.

    Raises:
        InvalidValueError: fewer than two vectors, which have no pair.
    """
    if len(vectors) < 2:
        raise InvalidValueError("uniformity is between sounds", where="losses.uniform", allowed="two or more", received=len(vectors))
    one, other = torch.triu_indices(len(vectors), len(vectors), 1, device=vectors.device)
    squares = (2 - 2 * vectors @ vectors.T)[one, other].clamp(min=0.0)
    return torch.logsumexp(-t * squares, 0) - math.log(len(squares))


def align_and_uniform(first: Tensor, second: Tensor, alpha: float = 2.0, t: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return both terms of embeddings [pairs, d] of any length; the uniformity is the mean over the two views."""
    one, other = functional.normalize(first, dim=1), functional.normalize(second, dim=1)
    return align(one, other, alpha), (uniform(one, t) + uniform(other, t)) / 2


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5, groups: Tensor | None = None) -> Tensor:
    """Return SimCLR's loss (Chen et al., 2020): each of 2 B views must pick its partner out of the 2 B − 1 others, by cosine / τ.

    Args:
        first: embeddings [pairs, d].
        second: the same of the other views.
        temperature: τ.
        groups: number of the group that each pair is of [pairs]; all views of a group are then partners (:func:`supcon`).
    """
    vectors = functional.normalize(torch.cat([first, second]), dim=1)
    if groups is not None:
        both = groups.to(vectors.device).repeat(2)
        return supcon(vectors, both[:, None] == both, temperature)
    scores = (vectors @ vectors.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(vectors), device=vectors.device).roll(len(first))
    return functional.cross_entropy(scores, partner)


def supcon(vectors: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Return −mean_i Σ_j p_ij log softmax_j(v_i·v_j / τ) over all j ≠ i, with p_ij the same for every positive j of i.

    That is L_out of Khosla et al. (2020). Anchors without a positive are left out; a batch without any has loss 0.

    Args:
        vectors: unit vectors [n, d].
        positives: whether j is a positive of i [n, n], symmetric; the diagonal is not looked at.
        temperature: τ.
    """
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    wanted = (positives & ~itself).to(vectors.dtype)
    chances = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf).log_softmax(1).masked_fill(itself, 0.0)
    number = wanted.sum(1)
    losses = -(wanted * chances).sum(1) / number.clamp(min=1)
    return losses.sum() / (number > 0).sum().clamp(min=1)


def vicreg(first: Tensor, second: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0) -> Tensor:
    """Return VICReg (Bardes et al., 2022): mean squared distance, a hinge on each dimension's deviation below 1, squared covariances."""

    def spread(view: Tensor) -> Tensor:
        return torch.relu(1 - torch.sqrt(view.var(0) + 1e-4)).mean()

    def entangled(view: Tensor) -> Tensor:
        centred = view - view.mean(0)
        matrix = centred.T @ centred / (len(view) - 1)
        return (matrix.square().sum() - matrix.diagonal().square().sum()) / view.shape[1]

    apart = functional.mse_loss(first, second)
    return (
        invariance * apart + variance * (spread(first) + spread(second)) / 2 + covariance * (entangled(first) + entangled(second))
    )  # fmt: skip


def barlow(first: Tensor, second: Tensor, off_diagonal: float = 5e-3) -> Tensor:
    """Return Barlow Twins (Zbontar et al., 2021): Σ_i (1 − C_ii)² + λ Σ_{i≠j} C_ij², C the views' correlation matrix over the batch."""

    def standard(view: Tensor) -> Tensor:
        centred = view - view.mean(0)
        return centred / torch.sqrt(centred.square().mean(0) + 1e-5)

    matrix = standard(first).T @ standard(second) / len(first)
    diagonal = matrix.diagonal()
    return (1 - diagonal).square().sum() + off_diagonal * (matrix.square().sum() - diagonal.square().sum())


def relative_spread(vectors: Tensor) -> float:
    """Return the mean standard deviation of the dimensions of unit vectors times √d: 1 when spread evenly, 0 when all are one."""
    normal = functional.normalize(vectors.float(), dim=1)
    return float(normal.std(0, correction=0).mean() * math.sqrt(normal.shape[1]))


Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Embeddings of the first and second views, both [pairs, d], and the pairs' groups where they have some [pairs] → the loss."""
