"""Align a text-to-audio model with the gold clips: Diffusion-DPO on preference pairs, or ordinary fine-tuning (ERM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(
    name="align_text_to_audio", environment="diffusion", version=1, memory_mb=4000, time_limit_s=24 * 3600, cpu_threads=2, uses_gpu=True
)


@dataclass(frozen=True)
class Settings:
    """What is trained and how; the defaults fit the embedded model on two CPU cores."""

    method: Literal["dpo", "erm"] = "dpo"
    """``dpo``: Diffusion-DPO on pairs. ``erm``: the ordinary diffusion loss on the gold clips and their captions."""
    tune: Literal["full", "adapters"] = "full"
    """``full``: the whole denoiser. ``adapters``: prefix adapters in its attention layers, everything else frozen.
    The autoencoder and the prompt encoder never change."""
    steps: int = 150
    """Gradient steps of the method."""
    sft_steps: int = 0
    """Steps of the ordinary diffusion loss before DPO; the reference is taken after them."""
    batch_pairs: int = 16
    """Pairs per step; clips per step of the ordinary loss."""
    learning_rate: float = 1e-5
    """Peak learning rate; with much more the embedded model gets worse at winners too (docs/alignment.md). Adapters need some 3e-3.
    Published: 5e-5, and 3e-3 for adapters."""
    sft_learning_rate: float = 1e-4
    """Peak learning rate of the steps before DPO."""
    schedule: Literal["cosine", "inverse"] = "cosine"
    """``cosine``: 3 % warm-up, then down to 5 %. ``inverse``: the published InverseLR, whose warm-up takes some 300 steps."""
    beta: float = 2000.0
    """DPO's β: how little the model may move away from the reference for a preference; the published value."""
    winner_loss_weight: float = 0.0
    """Weight of the winners' ordinary loss beside DPO's (TangoFlux: 1); keeps winners from getting worse together with losers."""
    timesteps: Literal["uniform", "logit_normal"] = "uniform"
    """Distribution of the diffusion times."""
    cfg_dropout: float = 0.1
    """Share of pairs whose prompt is dropped, for winner, loser, model and reference alike."""
    adapter_tokens: int = 20
    """Prefix tokens per attention layer; a model that has adapters already keeps those."""
    ema_decay: float = 0.995
    """Decay of the averaged weights that are exported; published 0.9999, for longer trainings."""
    recompute_activations: bool = runtime_setting(default=False)
    """Compute activations again in the backward pass: a third slower, far less memory; for large models."""
    seed: int = 0
    """Seed of batches, times, noise, dropout and new adapters."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("steps", 1, 10_000_000), ("sft_steps", 0, 10_000_000), ("batch_pairs", 1, 100_000), ("learning_rate", 0.0, 1.0),
            ("sft_learning_rate", 0.0, 1.0), ("beta", 0.0, 1e9), ("winner_loss_weight", 0.0, 1e6), ("cfg_dropout", 0.0, 1.0),
            ("adapter_tokens", 1, 10_000), ("ema_decay", 0.0, 0.99999),
        ):  # fmt: skip
            check_range(f"align_text_to_audio.{name}", getattr(self, name), low, high)


@dataclass(frozen=True)
class Request:
    """One aligned model."""

    model: str
    """Folder of the text-to-audio model to start from; it is also DPO's reference."""
    gold: str
    """Folder of the captioned gold clips."""
    pairs: str = ""
    """Folder of ``make_pairs``; ``dpo`` needs it, ``erm`` takes none."""
    settings: Settings = Settings()
    """What is trained and how."""

    def __post_init__(self) -> None:
        if bool(self.pairs) != (self.settings.method == "dpo"):
            allowed = "a folder of make_pairs" if self.settings.method == "dpo" else "nothing, since erm takes the gold clips alone"
            raise InvalidValueError(
                f"does not go with method {self.settings.method}", where="align_text_to_audio.pairs", allowed=allowed, received=self.pairs
            )


@dataclass(frozen=True)
class Result:
    """What was trained."""

    steps: int
    """Gradient steps in all."""
    gold_clips: int
    """Gold clips there are."""
    pairs: int
    """Pairs trained on; 0 for ``erm``."""
    trained_parameters: int
    """Weights that could change."""
    parameters: int
    """Weights of the whole model."""
    initial_loss: float
    """Loss of the method's first step; ln 2 for DPO without the winners' term."""
    final_loss: float
    """Mean loss over the method's last tenth of steps."""
    first_implicit_accuracy: float | None
    """Share of pairs in which the model favours the winner more than the reference does, over DPO's first tenth of steps."""
    last_implicit_accuracy: float | None
    """The same over the last tenth."""
    mean_margin: float | None
    """Mean of DPO's −½·β·[…] over the last tenth: the log-odds of the preference."""
    winner_loss_change: float | None
    """Mean winner loss minus the reference's over the last tenth; above 0 the model has become worse at the winners."""
    loser_loss_change: float | None
    """The same for the losers."""
