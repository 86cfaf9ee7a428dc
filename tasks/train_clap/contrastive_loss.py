"""Symmetric contrastive loss with several positives per row: clips of one class match each other's label text."""

from __future__ import annotations

import torch


def contrastive_loss(audio: torch.Tensor, text: torch.Tensor, scale: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return the mean of audio→text and text→audio cross-entropies.

    With all groups distinct this is CLIP's InfoNCE (laion-clap's ClipLoss); items of one group share the target evenly
    (Khosla et al., 2020, "out").

    Args:
        audio: unit vectors [n, dim].
        text: unit vectors [n, dim].
        scale: exp(logit_scale), a scalar.
        groups: which items belong together [n].
    """
    logits = scale * audio @ text.T
    target = (groups[:, None] == groups[None, :]).float()
    target = target / target.sum(1, keepdim=True)
    forward = -(target * torch.log_softmax(logits, dim=1)).sum(1).mean()
    backward = -(target * torch.log_softmax(logits.T, dim=1)).sum(1).mean()
    return (forward + backward) / 2
