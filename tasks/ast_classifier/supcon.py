"""Supervised contrastive learning (Khosla et al., 2020) with several positives, as in Synthio's SupCon stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tasks.contrastive import losses
from tasks.training.distributed import gather_with_gradient

PAPER_SIZES = (768, 4096, 256)
"""Encoder, hidden layer and output of the published projection."""


class Projection(nn.Module):
    """Hidden → 16/3 hidden → batch norm → ReLU → hidden/3, of length 1: 768 → 4096 → 256, in proportion for other encoders.

    Batch norm sees the rows it is given: give it the whole batch's.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        encoder, wide, narrow = PAPER_SIZES
        middle, out = hidden_size * wide // encoder, max(2, hidden_size * narrow // encoder)
        self.layers = nn.Sequential(nn.Linear(hidden_size, middle), nn.BatchNorm1d(middle), nn.ReLU(), nn.Linear(middle, out))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return unit vectors [clips, out] of encodings [clips, hidden]."""
        return nn.functional.normalize(self.layers(vectors), dim=1)


def whole_batch_loss(projection: nn.Module, own: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Return the loss of the whole batch on every rank, from each rank's encodings of its own part.

    Args:
        projection: its batch norm must see all rows, so every rank projects the whole batch.
        own: encodings [own rows, hidden].
        positives: of the whole batch [n, n].
        temperature: τ.
    """
    vectors = projection(gather_with_gradient(own, len(positives)))
    return losses.supcon(vectors, positives.to(vectors.device), temperature)


def positive_pairs(targets: Tensor, groups: Tensor | None = None) -> Tensor:
    """Return which rows are positives of each other [n, n]: those that share a class, or are views of one clip.

    Args:
        targets: 1 where a row has a class [n, classes].
        groups: number of the clip that each row is a view of [n].
    """
    shared = targets @ targets.T > 0
    return shared if groups is None else shared | (groups[:, None] == groups)


def draw_views(
    groups: Sequence[Sequence[int]], gold_clips: int, number: int, views: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw clips without replacement, and views of each: the gold clip, then clips that stem from it, then the same again.

    Args:
        groups: training clips by the gold clip they stem from, that clip first.
        gold_clips: the first so many training clips are gold.
        number: gold clips wanted; fewer where there are fewer.
        views: views of each.
        generator: where the random numbers come from.

    Returns:
        training clips, and the number of their group, both [number · views].
    """
    rows, numbers = [], []
    for group in torch.randperm(len(groups), generator=generator)[:number].tolist():
        members = list(groups[group])
        head = members[:1] if members[0] < gold_clips else []
        rest = members[len(head) :]
        order = head + [rest[i] for i in torch.randperm(len(rest), generator=generator).tolist()]
        rows += [order[i % len(order)] for i in range(views)]
        numbers += [group] * views
    return torch.tensor(rows), torch.tensor(numbers)
