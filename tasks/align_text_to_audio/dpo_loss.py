"""Diffusion-DPO (Wallace et al., 2023, arXiv 2311.12908), with the time horizon and the SNR weight folded into β as in Tango 2.

L = −mean log σ(m),  m = −½ · β · [(ℓ_θ^w − ℓ_θ^l) − (ℓ_ref^w − ℓ_ref^l)]

ℓ is a clip's squared error, averaged over channels and frames; w is the winner, l the loser, θ the model, ref the frozen reference.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def margins(policy: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """Return the log-odds m of every preference, [pairs].

    Args:
        policy: ℓ_θ of all winners, then of all losers, [2 · pairs].
        reference: ℓ_ref in the same order.
        beta: β.
    """
    winner, loser = policy.chunk(2)
    reference_winner, reference_loser = reference.chunk(2)
    return -0.5 * beta * ((winner - loser) - (reference_winner - reference_loser))


def preference_loss(margin: torch.Tensor) -> torch.Tensor:
    """Return −mean log σ(m) of margins [pairs]; ln 2 where the model is the reference."""
    return -functional.logsigmoid(margin).mean()


def implicit_accuracy(margin: torch.Tensor) -> float:
    """Return the share of pairs with a positive margin; a margin of exactly 0, as at the start, counts half."""
    return float(((margin > 0).float() + 0.5 * (margin == 0).float()).mean())
