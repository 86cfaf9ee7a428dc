"""Resolves a request into numbers: how long, in which batches, and what the objective is built with. By the method's name only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tasks.train_vae.spec import Request
from tasks.vae_models.objectives.base import Plan

BETA = {"vae": 1.0, "beta_vae": 4.0, "beta_tcvae": 4.0}
"""β where the settings leave it open; 1 for the others."""
FAULTS = {
    "": "legacy: squared errors are summed over the batch beside its mean KL, no warm-up, the last epoch's weights",
    "beta_tcvae": "legacy: weights of the stratified sampling once per code and in columns 0 and 1, on other codes than those decoded",
    "factor_vae": "legacy: half the discriminator's loss reaches the network, on other codes than those decoded",
}


@dataclass(frozen=True)
class Pace:
    """Length of a training."""

    batch_clips: int
    epochs: int
    batches: int
    """Steps of one epoch; the last batch may be smaller."""
    ramp_steps: int
    """Steps of the warm-up, or of the capacity's rise."""

    @property
    def steps(self) -> int:
        """Gradient steps of the training."""
        return self.epochs * self.batches

    def weight(self, step: int) -> float:
        """Return the warm-up's factor at a step, 0 … 1."""
        return 1.0 if step >= self.ramp_steps else step / self.ramp_steps


def pace(request: Request, clips: int) -> Pace:
    """Return the length of the training.

    Args:
        request: method and settings.
        clips: training clips.
    """
    settings, factor = request.settings, request.method == "factor_vae"
    batch = max(2, round(settings.batch_clips * (settings.factor_batch if factor else 1)))
    epochs = max(1, round(settings.epochs * (settings.factor_epochs if factor else 1)))
    batches = math.ceil(clips / batch)
    share = settings.warm_up_share
    if request.method == "annealed_vae":
        share = settings.capacity_share
    elif settings.legacy:
        share = 0.0
    return Pace(batch, epochs, batches, round(share * epochs * batches))


def plan(request: Request, clips: int) -> Plan:
    """Return what the objective is built with.

    Args:
        request: method and settings.
        clips: training clips.
    """
    settings, method = request.settings, request.method
    gamma = {"factor_vae": settings.factor_gamma, "annealed_vae": settings.capacity_gamma}.get(method, settings.tcvae_gamma)
    return Plan(
        method=method, latent=settings.latent, dataset=clips, beta=BETA.get(method, 1.0) if settings.beta is None else settings.beta,
        alpha=settings.tcvae_alpha, gamma=gamma, estimator=settings.tcvae_estimator, off_diagonal=settings.dip_off_diagonal,
        diagonal=settings.dip_diagonal, capacity_nats=settings.capacity_nats, discriminator_rate=settings.discriminator_rate,
        kl_scale="legacy" if settings.legacy else settings.kl_scale, sigma=settings.sigma, learn_sigma=settings.learn_sigma,
        legacy=settings.legacy,
    )  # fmt: skip


def faults(request: Request) -> tuple[str, ...]:
    """Return what is said of a training in the published convention; nothing of another."""
    return tuple(FAULTS[name] for name in ("", request.method) if name in FAULTS) if request.settings.legacy else ()
