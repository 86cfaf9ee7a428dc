"""Fit a compact LAION-CLAP model on the gold clips and the captioned synthetic sounds, or fine-tune a published one on the gold clips."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range, external_path
from tasks.clap_model.settings import ClapTowers

STAGE = Stage(name="train_clap", environment="clap", version=1, memory_mb=2500, time_limit_s=24 * 3600, cpu_threads=2, uses_gpu=True)


@dataclass(frozen=True)
class Settings(ClapTowers):
    """Training; the defaults fit two CPU cores."""

    steps: int = 260
    """Gradient steps."""
    batch_clips: int = 32
    """Clips per step, half gold, half synthetic sounds; all gold when fine-tuning."""
    learning_rate: float = 1.5e-3
    """Peak rate of AdamW."""
    holdout_share: float = 0.2
    """Share of each gold class held out to choose the step and to say honestly how good the model is; never val or test clips."""
    evaluate_every: int = 40
    """Steps between two looks at the held-out gold clips."""
    start_from: str = external_path(default="")
    """A LAION-CLAP checkpoint file to fine-tune on the gold clips alone (the published ``filter_w_finetune``); empty: a compact model."""
    finetune_rate: float = 1e-5
    """Peak rate of AdamW when fine-tuning."""
    seed: int = 0
    """Seed of weights, batches and augmentation."""

    def __post_init__(self) -> None:
        check_range("train_clap.steps", self.steps, 1, 10_000_000)
        check_range("train_clap.batch_clips", self.batch_clips, 4, 4096)
        check_range("train_clap.learning_rate", self.learning_rate, 0.0, 1.0)
        check_range("train_clap.finetune_rate", self.finetune_rate, 0.0, 1.0)
        check_range("train_clap.holdout_share", self.holdout_share, 0.0, 0.5)


@dataclass(frozen=True)
class Request:
    """One compact checkpoint."""

    gold: str
    """Folder of the captioned gold clips."""
    pretraining: str
    """Folder of the captioned synthetic sounds."""
    settings: Settings = Settings()
    """Training."""


@dataclass(frozen=True)
class Result:
    """What was fitted."""

    gold_clips: int
    """Gold clips trained on."""
    held_out: int
    """Gold clips held out."""
    held_out_top1: float
    """Share of held-out gold clips whose own label scores highest."""
    held_out_top3: float
    """Share of them whose own label is among the three highest."""
    best_step: int
    """Step whose weights were kept."""
    parameters: int
    """Weights of the model."""
