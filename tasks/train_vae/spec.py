"""Train VAEDeep by one method with one seed; weights are selected on validation clips, and all clips of the grid are encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError

STAGE = Stage(name="train_vae", environment="train", version=1, memory_mb=2000, time_limit_s=24 * 3600, cpu_threads=1, uses_gpu=True)

METHODS = ("vae", "beta_vae", "beta_tcvae", "factor_vae", "dip_vae_ii", "annealed_vae")
"""The methods there are; a method is chosen by its name."""


@dataclass(frozen=True)
class Settings:
    """Network, pace and the methods' numbers; those of other methods are not looked at. Sources in ``docs/syntone_models.md``."""

    latent: int = 8
    """Codes D."""
    epochs: int = 20
    """Passes over the training clips; see ``factor_epochs``."""
    batch_clips: int = 64
    """Clips per step; see ``factor_batch``."""
    learning_rate: float = 1e-3
    """Adam's, constant; its betas are 0.9 and 0.999."""
    beta: float | None = None
    """Weight of the KL; beta_tcvae: of the total correlation. None: vae 1, beta_vae 4, beta_tcvae 4, the others 1. vae takes no other."""
    tcvae_alpha: float = 1.0
    """beta_tcvae: weight of the mutual information."""
    tcvae_gamma: float = 1.0
    """beta_tcvae: weight of the dimension-wise KL."""
    tcvae_estimator: Literal["mss", "mws"] = "mss"
    """beta_tcvae: minibatch-stratified or minibatch-weighted sampling."""
    factor_gamma: float = 6.0
    """factor_vae: weight of the total correlation."""
    factor_epochs: float = 2.0
    """factor_vae: epochs as a multiple of ``epochs``."""
    factor_batch: float = 2.0
    """factor_vae: clips per step as a multiple of ``batch_clips``; half of them train the network, the others are shuffled."""
    discriminator_rate: float = 5e-5
    """factor_vae: Adam's rate of the discriminator; its betas are 0.5 and 0.9."""
    dip_off_diagonal: float = 10.0
    """dip_vae_ii: λ_od, weight of the codes' squared covariances."""
    dip_diagonal: float = 10.0
    """dip_vae_ii: λ_d, weight of the squared distances of their variances from 1."""
    capacity_nats: float = 25.0
    """annealed_vae: the capacity C at the end of its rise."""
    capacity_gamma: float = 30.0
    """annealed_vae: weight of |KL − C|."""
    capacity_share: float = 0.5
    """annealed_vae: share of the training in which C rises from 0."""
    kl_scale: Literal["per_sample", "legacy"] = "per_sample"
    """``per_sample``: SSE / (2σ²) and KL, both per clip. ``legacy``: SSE summed over the batch beside the KL averaged over it, so that β
    is in effect divided by the clips of a batch; σ is not looked at."""
    sigma: float = 0.1
    """Standard deviation σ of the Gaussian likelihood, in the features' unit: 0.1 of features in [0, 1] over 80 dB is 8 dB."""
    learn_sigma: bool = False
    """Take σ² = the batch's mean squared error instead (σ-VAE, Rybkin et al., 2021)."""
    warm_up_share: float = 0.2
    """Share of the training in which the KL's weight rises linearly from 0; annealed_vae has ``capacity_share`` instead."""
    legacy: bool = False
    """The published convention as a whole: ``kl_scale`` legacy, no warm-up, the weights of the last epoch, and the published code's
    faults in beta_tcvae (weights counted once per code, columns for the diagonal, other codes than the decoded) and factor_vae (the
    discriminator's loss reaches the network, other codes than the decoded). For comparison only; the result names them."""

    def __post_init__(self) -> None:
        check_range("train_vae.latent", self.latent, 1, 1024)
        check_range("train_vae.epochs", self.epochs, 1, 1_000_000)
        check_range("train_vae.batch_clips", self.batch_clips, 2, 1_000_000)
        check_range("train_vae.sigma", self.sigma, 1e-3, 1e3)
        if self.beta is not None:
            check_range("train_vae.beta", self.beta, 0.0, 1e6)
        for name in ("learning_rate", "discriminator_rate"):
            check_range(f"train_vae.{name}", getattr(self, name), 1e-9, 10.0)
        for name in ("tcvae_alpha", "tcvae_gamma", "factor_gamma", "dip_off_diagonal", "dip_diagonal", "capacity_nats", "capacity_gamma"):
            check_range(f"train_vae.{name}", getattr(self, name), 0.0, 1e6)
        for name in ("factor_epochs", "factor_batch"):
            check_range(f"train_vae.{name}", getattr(self, name), 0.1, 100.0)
        for name in ("warm_up_share", "capacity_share"):
            check_range(f"train_vae.{name}", getattr(self, name), 0.0, 1.0)
        if self.learn_sigma and (self.legacy or self.kl_scale == "legacy"):
            hint = "leave learn_sigma off, or take kl_scale=per_sample"
            raise InvalidValueError("the legacy scale has no σ", where="train_vae.learn_sigma", allowed=False, received=True, hint=hint)


@dataclass(frozen=True)
class Request:
    """One training."""

    features: str
    """Folder that featurise wrote. Rows whose split is ``train`` are trained on, those of ``val`` select; all are encoded."""
    method: Literal["vae", "beta_vae", "beta_tcvae", "factor_vae", "dip_vae_ii", "annealed_vae"]
    """What is minimised."""
    seed: int
    """Seed of weights, batches and noise."""
    settings: Settings = Settings()
    """Network, pace and the methods' numbers."""

    def __post_init__(self) -> None:
        check_range("train_vae.seed", self.seed, 0, 2**31 - 1)
        if self.method == "vae" and self.settings.beta not in (None, 1.0):
            hint = "method beta_vae takes any β"
            raise InvalidValueError("a VAE has β = 1", where="train_vae.beta", allowed=1.0, received=self.settings.beta, hint=hint)


@dataclass(frozen=True)
class Result:
    """How the training ended. Figures are of the weights that were kept."""

    method: str
    """What was minimised."""
    seed: int
    """Of weights, batches and noise."""
    parameters: int
    """Weights of the network (without a discriminator)."""
    train_clips: int
    """Clips trained on."""
    steps: int
    """Gradient steps."""
    best_step: int
    """Step whose weights were kept."""
    val_loss: float | None
    """The method's loss on validation clips; factor_vae: without the discriminator's term. None without validation clips."""
    val_reconstruction: float | None
    """Sum of squared errors of reconstructions from the codes' means, mean over validation clips. None without validation clips."""
    kl_nats: float
    """KL to the prior, mean over training clips."""
    active_units: int
    """Codes whose mean varies over the training clips, with a variance above 0.01 (Burda et al., 2016)."""
    collapsed: bool
    """No active unit, or a KL under 0.1 nats: the codes say nothing about the clips."""
    effective_beta: float
    """Weight of one nat of a clip's KL for each unit of its summed squared error, in the first batch of the last epoch."""
    faults: tuple[str, ...] = ()
    """Published faults that were reproduced on request; such a result is for comparison only."""
