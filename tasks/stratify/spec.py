"""Draw the gold subset from the train split: class proportions kept, every class present, the draw seeded."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range

STAGE = Stage(name="stratify", environment="data", version=1, memory_mb=300, time_limit_s=600)


@dataclass(frozen=True)
class Request:
    """One draw."""

    clips: str
    """Folder of the prepared dataset."""
    num_samples: int
    """Clips to draw."""
    seed: int = 0
    """Seed of the draw."""
    compat: bool = False
    """Use the published rule max(1, int(count · n / N)) per class, whose sum may miss ``num_samples`` either way."""

    def __post_init__(self) -> None:
        check_range("stratify.num_samples", self.num_samples, 1, 10_000_000)


@dataclass(frozen=True)
class Result:
    """What was drawn."""

    requested: int
    """Clips asked for."""
    drawn: int
    """Clips drawn; more than asked for when there are more classes than that."""
    per_class: dict[str, int]
    """Clips drawn by label."""
