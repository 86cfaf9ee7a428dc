"""Search sizes and optimiser of a preset encoder for the best validation MRR of short trainings, with Optuna."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError
from tasks.preset_encoders.settings import ModelName

STAGE = Stage(
    name="search_preset_encoder", environment="train", version=1, memory_mb=3000, time_limit_s=14 * 24 * 3600, cpu_threads=2, uses_gpu=True,
    deterministic=False,  # the study's database holds dates
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is tried, and how often."""

    preset: Literal["cpu", "paper"] = "cpu"
    """Sizes that are tried, and everything that is not: ``cpu`` has small ones, ``paper`` the published spaces."""
    trials: int = 24
    """Short trainings; 203 as published."""
    startup_trials: int = 16
    """The first of them, at scrambled Sobol points; 128 as published. The others are proposed by TPE."""
    tune: Literal["all", "optimiser"] = "all"
    """Try sizes and optimiser, or only the optimiser for the preset's sizes."""
    epochs: int = 1
    """Passes over the presets in a trial."""
    presets: int = 0
    """Training presets of a trial, the first of the set; 0: all. 1,000,000 as published."""
    batch_presets: int | None = None
    """Presets per step; None: the preset's."""
    flat_share: float = 0.75
    """Share of a trial with a constant rate; then a cosine."""
    looks: int = 4
    """Times that validation presets are looked at in an epoch."""
    rankings: int = 256
    """Validation rankings."""
    candidates: int = 256
    """Candidates of each."""
    diverged_ratio: float = 1.5
    """A trial ends when its mean training loss since the last look is above this many times the loss of one best embedding for all
    presets (their median for L1, their mean for MSE), or no number. The published limit, 0.75, belongs to one audio model's units."""
    pruner: Literal["none", "median"] = "none"
    """``median``: end a trial whose MRR is below the median of the earlier trials at the same look."""
    loss: Literal["l1", "mse"] = "l1"
    """What trainings minimise."""
    sizes: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Sizes that are the same in all trials, in place of the preset's or of tried ones."""

    def __post_init__(self) -> None:
        limits = {
            "trials": (1, 100_000), "startup_trials": (0, 100_000), "epochs": (1, 100_000), "presets": (0, 10**9),
            "flat_share": (0.0, 1.0), "looks": (1, 1000), "rankings": (1, 1_000_000), "candidates": (2, 1_000_000),
            "diverged_ratio": (0.1, 1e6),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            check_range(f"search_preset_encoder.{name}", getattr(self, name), low, high)
        if self.batch_presets is not None:
            check_range("search_preset_encoder.batch_presets", self.batch_presets, 2, 1_000_000)


@dataclass(frozen=True)
class Request:
    """One search."""

    train: str
    """Preset set that render_presets wrote, with embeddings; its rows of split ``train`` are trained on."""
    model: ModelName
    """The encoder."""
    seed: int
    """Seed of proposals, weights and batches."""
    val: str = ""
    """Preset set whose rows of split ``val`` decide; empty: ``train``."""
    settings: Settings = Settings()
    """What is tried, and how often."""

    def __post_init__(self) -> None:
        check_range("search_preset_encoder.seed", self.seed, 0, 2**31 - 1)
        if not self.train:
            raise InvalidValueError("nothing to train on", where="search_preset_encoder.train", allowed="a preset set", received="")


@dataclass(frozen=True)
class Result:
    """How the search ended."""

    model: str
    """The encoder."""
    trials: int
    """Short trainings begun."""
    finished: int
    """Of those, came to their end."""
    pruned: int
    """Of those, diverged or were given up."""
    best_trial: int
    """Number of the best."""
    best_mrr: float
    """Its validation MRR."""
    best: dict[str, Any]
    """Its settings, as train_preset_encoder takes them: sizes, learning_rate, least_rate, betas, eps, flat_share, schedule."""
