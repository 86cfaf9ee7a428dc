"""β-TCVAE (Chen et al., 2018): the KL's three parts, each with a weight of its own."""

from __future__ import annotations

from torch import Tensor

from tasks.vae_models.objectives.base import Objective, Pass
from tasks.vae_models.total_correlation import decompose


class BetaTcVae(Objective):
    """Reconstruction + α · mutual information + β · total correlation + γ · dimension-wise KL, on the codes that were decoded."""

    def penalty(self, passed: Pass, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the three parts, scaled by the warm-up."""
        plan, codes = self.plan, passed.drawn_again() if self.plan.legacy else passed.codes
        dataset = max(plan.dataset, len(codes))
        parts = decompose(codes, passed.mean, passed.log_variance, dataset, plan.estimator, plan.legacy)
        loss = plan.alpha * parts.mutual_information + plan.beta * parts.total_correlation + plan.gamma * parts.dimension_kl
        values = {"batch_mutual_information": parts.mutual_information, "batch_total_correlation": parts.total_correlation}
        return weight * loss, {**values, "batch_dimension_kl": parts.dimension_kl}
