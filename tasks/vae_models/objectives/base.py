"""What the methods share: the likelihood, the scale of the KL beside it, and the pass through the network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.vae_models.gaussians import kl_to_prior
from tasks.vae_models.network import VAEDeep

SMALLEST_SIGMA = 1e-3


@dataclass(frozen=True)
class Plan:
    """A method with all its numbers resolved; those of other methods are not looked at."""

    method: str
    latent: int = 8
    dataset: int = 1
    """Training clips N."""
    beta: float = 1.0
    """Weight of the KL; of the total correlation for beta_tcvae."""
    alpha: float = 1.0
    """beta_tcvae: weight of the mutual information."""
    gamma: float = 1.0
    """beta_tcvae: weight of the dimension-wise KL. factor_vae: of the total correlation. annealed_vae: of the distance to the capacity."""
    estimator: str = "mss"
    """beta_tcvae: see ``total_correlation.log_weights``."""
    off_diagonal: float = 10.0
    """dip_vae_ii: λ_od."""
    diagonal: float = 10.0
    """dip_vae_ii: λ_d."""
    capacity_nats: float = 25.0
    """annealed_vae: C at the end of its rise."""
    discriminator_rate: float = 5e-5
    """factor_vae: Adam's rate of the discriminator."""
    kl_scale: str = "per_sample"
    """``per_sample`` or ``legacy``."""
    sigma: float = 0.1
    """Standard deviation of the likelihood, in the features' unit."""
    learn_sigma: bool = False
    """Use the best σ of each batch instead."""
    legacy: bool = False
    """Repeat the published code's faults in the total correlation and the discriminator's step."""


@dataclass(frozen=True)
class Pass:
    """What a pass through the network gave."""

    features: Tensor
    """[clips, 1, mels, frames]."""
    rebuilt: Tensor
    codes: Tensor
    """Drawn, and decoded [clips, D]."""
    mean: Tensor
    log_variance: Tensor
    generator: torch.Generator
    """Where the codes' noise came from; what else is drawn comes from it too."""

    @property
    def squared_error(self) -> Tensor:
        """Sum of squared errors, mean over the clips."""
        return (self.rebuilt - self.features).square().sum() / len(self.features)

    @property
    def kl(self) -> Tensor:
        """KL to the prior in nats, mean over the clips."""
        return kl_to_prior(self.mean, self.log_variance).sum() / len(self.mean)

    def drawn_again(self) -> Tensor:
        """Draw other codes of the same clips than those that were decoded [clips, D], as the published code does for its penalties."""
        noise = torch.randn(self.mean.shape, generator=self.generator).to(self.mean)
        return self.mean + noise * torch.exp(0.5 * self.log_variance)


@dataclass(frozen=True)
class Terms:
    """The loss of a batch, and what of it is worth a curve (detached scalars)."""

    loss: Tensor
    values: dict[str, Tensor]


def pass_through(model: VAEDeep, features: Tensor, generator: torch.Generator) -> Pass:
    """Encode, draw and decode features [clips, 1, mels, frames]."""
    rebuilt, codes, mean, log_variance = model(features, generator)
    return Pass(features, rebuilt, codes, mean, log_variance, generator)


class Objective(nn.Module):
    """Loss of a batch: reconstruction plus the method's penalty.

    ``per_sample``: the negative ELBO per clip under N(decoder, σ²), SSE / (2σ²) + penalty, both means over the batch; the constant
    P log σ + P/2 log 2π is left out when σ is fixed. With ``learn_sigma`` σ² is the batch's mean squared error, the most likely value
    (σ-VAE, Rybkin et al., 2021), and P log σ is counted. ``legacy``: SSE summed over the batch + penalty averaged over it, as published.

    The effective β is the weight of one nat of a clip's KL for each unit of that clip's SSE, whichever scale is used: 2σ²β per sample,
    β/B in legacy with B clips a batch. Batch 64 and β 4 in legacy: 0.0625.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def penalty(self, passed: Pass, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the regulariser in nats, and curves of its own.

        Args:
            passed: a batch that went through the network.
            weight: the warm-up's factor, 0 … 1.
        """
        raise NotImplementedError

    def strength(self, weight: float) -> float:
        """Return the weight of one nat of a clip's KL (beta_tcvae: of its total correlation) in the loss."""
        return self.plan.beta * weight

    def reconstruction(self, passed: Pass) -> tuple[Tensor, Tensor]:
        """Return the loss's reconstruction term, and by what a clip's SSE is multiplied in it (a scalar)."""
        error, clips = passed.squared_error, len(passed.features)
        if self.plan.kl_scale == "legacy":
            return error * clips, torch.tensor(float(clips))
        if not self.plan.learn_sigma:
            factor = 0.5 / self.plan.sigma**2
            return error * factor, torch.tensor(factor)
        pixels = passed.features[0].numel()
        variance = (error.detach() / pixels).clamp(min=SMALLEST_SIGMA**2)
        return 0.5 * error / variance + 0.5 * pixels * variance.log(), 0.5 / variance

    def terms(self, passed: Pass, weight: float) -> Terms:
        """Return loss and curves of a batch that went through the network."""
        fit, factor = self.reconstruction(passed)
        penalty, values = self.penalty(passed, weight)
        beta = self.strength(weight) / factor
        found = {"reconstruction": passed.squared_error, "kl": passed.kl, "effective_beta": beta, **values}
        return Terms(fit + penalty, {name: value.detach() for name, value in found.items()})

    def forward(self, model: VAEDeep, features: Tensor, generator: torch.Generator, weight: float) -> Terms:
        """Return loss and curves of one training batch.

        Args:
            model: the network.
            features: [clips, 1, mels, frames].
            generator: of the step's noise.
            weight: the warm-up's factor, 0 … 1.
        """
        return self.terms(pass_through(model, features, generator), weight)

    def selection(self, passed: Pass) -> Tensor:
        """Return what weights are selected by on validation clips: the loss after warm-up."""
        return self.terms(passed, 1.0).loss

    def after_step(self) -> dict[str, float]:
        """Do what follows the network's own step, and return curves of it."""
        return {}

    def optimizer_state(self) -> dict[str, object]:
        """Return what a checkpoint needs besides the module's own state."""
        return {}

    def restore_optimizer(self, state: dict[str, object]) -> None:
        """Go on from :meth:`optimizer_state`."""
