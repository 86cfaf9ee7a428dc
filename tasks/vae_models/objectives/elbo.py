"""VAE (Kingma and Welling, 2014), β-VAE (Higgins et al., 2017), and β-VAE with a rising capacity (Burgess et al., 2018)."""

from __future__ import annotations

from torch import Tensor

from tasks.vae_models.objectives.base import Objective, Pass


class BetaVae(Objective):
    """Reconstruction + β · KL; β = 1 is the VAE."""

    def penalty(self, passed: Pass, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return β · KL, scaled by the warm-up."""
        return self.plan.beta * weight * passed.kl, {}


class AnnealedVae(Objective):
    """Reconstruction + γ · |KL − C|, where C rises linearly from 0 nats to its end; the rise takes the warm-up's place."""

    def strength(self, weight: float) -> float:
        """Return γ, which does not rise."""
        return self.plan.gamma

    def penalty(self, passed: Pass, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return γ · |KL − C| with C at this share of its rise."""
        capacity = passed.kl.new_tensor(self.plan.capacity_nats * weight)
        return self.plan.gamma * (passed.kl - capacity).abs(), {"capacity": capacity}
