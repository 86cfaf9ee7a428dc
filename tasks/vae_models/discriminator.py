"""FactorVAE's discriminator (Kim and Mnih, 2018): tells codes from codes whose dimensions were shuffled over the batch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

WIDTH, LAYERS, SLOPE = 1000, 5, 0.2
REAL, SHUFFLED = 0, 1
"""Its two classes."""


class Discriminator(nn.Module):
    """MLP of five hidden layers of 1000 with LeakyReLU 0.2, Kaiming-uniform weights; 4,015,002 parameters for 8 codes."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        widths = (latent, *[WIDTH] * LAYERS)
        hidden = [part for pair in pairwise(widths) for part in (nn.Linear(*pair), nn.LeakyReLU(SLOPE))]
        self.layers = nn.Sequential(*hidden, nn.Linear(WIDTH, 2))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=SLOPE, nonlinearity="leaky_relu")

    def forward(self, codes: Tensor) -> Tensor:
        """Return logits [clips, 2] of codes [clips, D]."""
        return self.layers(codes)


def density_ratio(logits: Tensor) -> Tensor:
    """Return the estimate of the total correlation, the mean of log D(z)/(1 − D(z)): the difference of the two logits, in nats."""
    return (logits[:, REAL] - logits[:, SHUFFLED]).mean()


def cross_entropy(logits: Tensor, kind: int) -> Tensor:
    """Return the mean cross-entropy of logits [clips, 2] against one class."""
    return nn.functional.cross_entropy(logits, torch.full((len(logits),), kind, device=logits.device))


def permute_dims(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Return codes [clips, D], each dimension shuffled over the clips by a permutation of its own: a draw from ∏_j q(z_j)."""
    order = torch.stack([torch.randperm(len(codes), generator=generator) for _ in range(codes.shape[1])], 1)
    return codes.gather(0, order.to(codes.device))
