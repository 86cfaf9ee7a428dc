"""Contrast with several positives, physical losses, and how they are weighed."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

TERMS = ("space", "source", "physical")


def contrast(text: Tensor, audio: Tensor, labels: Tensor, scale: Tensor, exclude_diagonal: bool = True) -> Tensor:
    """Return the supervised contrastive loss between two modalities (Khosla et al., 2020, L_out), mean over both directions.

    Row i's positives are the columns with its label; −mean over them of log softmax over all columns. Always in float32.

    Args:
        text: embeddings [n, d], of any length.
        audio: embeddings [n, d] of the same items.
        labels: of the items [n].
        scale: inverse temperature.
        exclude_diagonal: leave each item's own partner out of numerator and denominator: positives then differ in the other factor,
            which is what takes it out of the embeddings.

    Rows without a positive are left out; without any the loss is 0.
    """
    with torch.autocast(text.device.type, enabled=False):
        one, other = functional.normalize(text.float(), dim=1), functional.normalize(audio.float(), dim=1)
        logits = scale.float() * one @ other.T
        positives = labels[:, None] == labels[None, :]
        if exclude_diagonal:
            itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
            positives, logits = positives & ~itself, logits.masked_fill(itself, -torch.inf)
        return (_one_way(logits, positives) + _one_way(logits.T, positives.T)) / 2


def _one_way(logits: Tensor, positives: Tensor) -> Tensor:
    number = positives.sum(1)
    chances = logits.log_softmax(1).masked_fill(~positives, 0.0)
    losses = -chances.sum(1) / number.clamp(min=1)
    # Not a product with the mask: a row of one item has no column left, and NaN times 0 is NaN.
    return torch.where(number > 0, losses, 0.0).sum() / (number > 0).sum().clamp(min=1)


def direction_loss(predicted: Tensor, azimuth_elevation: Tensor) -> Tensor:
    """Return −mean cosine between directions: of vectors in space, or, for 2 columns, of (azimuth, elevation) in radians as published.

    The published form is blind to the length of the angles and wrong at ±180°; it is there for comparison only.

    Args:
        predicted: [rows, 3] or [rows, 2].
        azimuth_elevation: true angles in radians [rows, 2].
    """
    target = azimuth_elevation if predicted.shape[1] == 2 else unit_vectors(azimuth_elevation)
    return -functional.cosine_similarity(predicted.float(), target.float(), dim=1).mean()


def unit_vectors(azimuth_elevation: Tensor) -> Tensor:
    """Return x (front), y (left), z (up) [rows, 3] of angles in radians [rows, 2]."""
    azimuth, elevation = azimuth_elevation.unbind(1)
    return torch.stack([elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin(), elevation.sin()], 1)


def physical_loss(direction: Tensor, quantities: Tensor, azimuth_elevation: Tensor, targets: Tensor) -> Tensor:
    """Return the direction's loss plus the mean squared errors of floor area, distance and T30, all three z-scored.

    Args:
        direction: [rows, 3] or [rows, 2].
        quantities: [rows, 3].
        azimuth_elevation: in radians [rows, 2].
        targets: z-scores [rows, 3]; NaN where a quantity is not known, which then does not count.
    """
    known = targets.isfinite()
    errors = torch.where(known, quantities.float() - torch.nan_to_num(targets), 0.0).square().sum(0) / known.sum(0).clamp(min=1)
    return direction_loss(direction, azimuth_elevation) + errors.sum()


class Weighting(nn.Module):
    """Σ w_i L_i, or with learned log-variances Σ exp(−s_i) L_i + s_i (Kendall et al., 2018) for space, source and physical loss."""

    def __init__(self, kind: Literal["fixed", "learned"], weights: tuple[float, float, float]) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("weights", torch.tensor(weights), persistent=False)
        self.log_variances = nn.Parameter(torch.zeros(len(TERMS)), requires_grad=kind == "learned")

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the sum over those of :data:`TERMS` that are there."""
        total = torch.zeros((), device=self.log_variances.device)
        for place, name in enumerate(TERMS):
            if name in losses:
                weighted = self.weights[place] * losses[name]
                s = self.log_variances[place]
                total = total + (torch.exp(-s) * weighted + s if self.kind == "learned" else weighted)
        return total


def top_one(queries: Tensor, gallery: Tensor, labels: Tensor) -> float:
    """Return the share of queries whose nearest item of the gallery, by cosine, has their label; both [n, d], labels [n]."""
    scores = functional.normalize(queries.float(), dim=1) @ functional.normalize(gallery.float(), dim=1).T
    return float((labels[scores.argmax(1)] == labels).float().mean())
