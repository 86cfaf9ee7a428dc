"""DIP-VAE-II (Kumar et al., 2018): the covariance of the codes over the data is pulled to the identity."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.vae_models.objectives.base import Objective, Pass


def code_covariance(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return Cov_q(z) = Cov_x(μ) + E_x diag(σ²) over a batch [D, D] (equation 5 there); the batch's covariance divides by its rows."""
    centred = mean - mean.mean(0)
    return centred.T @ centred / len(mean) + torch.diag(log_variance.exp().mean(0))


class DipVaeII(Objective):
    """Reconstruction + β · KL + λ_od Σ_{i≠j} Cov_ij² + λ_d Σ_i (Cov_ii − 1)²."""

    def penalty(self, passed: Pass, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return KL and covariance terms, scaled by the warm-up."""
        covariance = code_covariance(passed.mean, passed.log_variance)
        diagonal = covariance.diagonal()
        others = covariance.square().sum() - diagonal.square().sum()
        distance = self.plan.off_diagonal * others + self.plan.diagonal * (diagonal - 1).square().sum()
        return weight * (self.plan.beta * passed.kl + distance), {"covariance_penalty": distance}
