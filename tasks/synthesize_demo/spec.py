"""Synthesise the demo dataset: ten classes of everyday sounds; train, val and test come from disjoint parameter ranges."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range

STAGE = Stage(name="synthesize_demo", environment="data", version=1, memory_mb=500, time_limit_s=1800)


@dataclass(frozen=True)
class Settings:
    """Size and make of the dataset."""

    train_per_class: int = 20
    """Clips per class in the pool that the gold subset is drawn from."""
    val_per_class: int = 12
    """Validation clips per class."""
    test_per_class: int = 30
    """Test clips per class."""
    duration_s: float = 2.0
    """Length of every clip."""
    sample_rate_hz: int = 16000
    """Sample rate of every clip."""
    seed: int = 0
    """Seed of the whole dataset; every clip has a seed of its own below it."""

    def __post_init__(self) -> None:
        for name in ("train_per_class", "val_per_class", "test_per_class"):
            check_range(f"synthesize_demo.{name}", getattr(self, name), 1, 100_000)
        check_range("synthesize_demo.duration_s", self.duration_s, 0.5, 60.0)
        check_range("synthesize_demo.sample_rate_hz", self.sample_rate_hz, 8000, 96000)


@dataclass(frozen=True)
class Request:
    """One demo dataset."""

    settings: Settings = Settings()
    """Size and make."""


@dataclass(frozen=True)
class Result:
    """What was made."""

    clips: int
    """Number of clips in ``demo.csv``."""
    classes: tuple[str, ...]
    """Labels, sorted."""
