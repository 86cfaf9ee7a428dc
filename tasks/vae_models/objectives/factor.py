"""FactorVAE (Kim and Mnih, 2018): the total correlation as a discriminator sees it."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.vae_models.discriminator import REAL, SHUFFLED, Discriminator, cross_entropy, density_ratio, permute_dims
from tasks.vae_models.network import VAEDeep
from tasks.vae_models.objectives.base import Objective, Pass, Plan, Terms, pass_through

BETAS = (0.5, 0.9)
"""Adam's, for the discriminator."""


class FactorVae(Objective):
    """Reconstruction + β · KL + γ · E[log D(z)/(1 − D(z))] on the first half of a batch; the second half gives the shuffled codes.

    The discriminator learns from the very codes that were decoded, detached: its loss has no gradient in the network. An odd batch gives
    the extra clip to the first half; where nothing is left for the second, the discriminator waits.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.discriminator = Discriminator(plan.latent)
        self._optimizer: torch.optim.Adam | None = None
        self._codes: Tensor | None = None
        self._pending: tuple[Tensor, Tensor] | None = None

    @property
    def optimizer(self) -> torch.optim.Adam:
        """Adam of the discriminator; made when first asked for, so that it is on the device that the module was moved to."""
        if self._optimizer is None:
            parameters = list(self.discriminator.parameters())
            fused = parameters[0].device.type in ("cpu", "cuda")
            self._optimizer = torch.optim.Adam(parameters, lr=self.plan.discriminator_rate, betas=BETAS, fused=fused)
        return self._optimizer

    def forward(self, model: VAEDeep, features: Tensor, generator: torch.Generator, weight: float) -> Terms:
        """Return loss and curves of the first half; keeps what the discriminator will learn from."""
        half = (len(features) + 1) // 2
        passed = pass_through(model, features[:half], generator)
        terms = self.terms(passed, weight)
        self._pending = None
        if half < len(features):
            with torch.no_grad():
                others = model.sample(*model.encode(features[half:]), generator)
            assert self._codes is not None
            self._pending = (self._codes.detach(), permute_dims(others, generator))
        return terms

    def penalty(self, passed: Pass, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return β · KL + γ · total correlation, scaled by the warm-up; legacy: and the leak of the discriminator's loss."""
        self._codes = passed.drawn_again() if self.plan.legacy else passed.codes
        self.discriminator.requires_grad_(False)  # the network's step needs no gradients of its weights
        logits = self.discriminator(self._codes)
        self.discriminator.requires_grad_(True)
        found = density_ratio(logits)
        loss = weight * (self.plan.beta * passed.kl + self.plan.gamma * found)
        if self.plan.legacy:
            loss = loss + 0.5 * cross_entropy(logits, REAL)
        return loss, {"batch_total_correlation": found}

    def selection(self, passed: Pass) -> Tensor:
        """Return reconstruction + β · KL: the discriminator changes over the epochs, so its word cannot choose between them."""
        return self.reconstruction(passed)[0] + self.plan.beta * passed.kl

    def after_step(self) -> dict[str, float]:
        """Let the discriminator learn: ½ [CE(D(z), real) + CE(D(shuffled z), shuffled)]."""
        if self._pending is None:
            return {}
        codes, shuffled = self._pending
        loss = 0.5 * (cross_entropy(self.discriminator(codes), REAL) + cross_entropy(self.discriminator(shuffled), SHUFFLED))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self._pending = None
        return {"discriminator_loss": float(loss.detach())}

    def optimizer_state(self) -> dict[str, object]:
        """Return the state of the discriminator's Adam."""
        return {"discriminator": self.optimizer.state_dict()}

    def restore_optimizer(self, state: dict[str, object]) -> None:
        """Go on from a checkpoint."""
        self.optimizer.load_state_dict(state["discriminator"])  # type: ignore[arg-type]
