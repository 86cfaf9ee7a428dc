"""Draw the gold subset from the train split: class proportions kept, every class present, the draw seeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError

STAGE = Stage(name="stratify", environment="data", version=1, memory_mb=300, time_limit_s=600)


@dataclass(frozen=True)
class Settings:
    """How to draw."""

    label_separator: Literal["", ";", ","] = ""
    """What separates the labels of one clip. Empty: one label a clip, drawn class by class. Otherwise multi-label, where classes overlap:
    a plain random draw of exactly ``num_samples`` clips, as published."""
    published_sizes: bool = False
    """Use the published rule max(1, int(count · n / N)) per class, whose sum may miss ``num_samples`` either way."""

    def __post_init__(self) -> None:
        if self.label_separator and self.published_sizes:
            hint = "the rule counts by class, and a multi-label draw has no classes to count by: leave one of them out"
            raise InvalidValueError("does not go with label_separator", where="stratify.published_sizes", received=True, hint=hint)


@dataclass(frozen=True)
class Request:
    """One draw."""

    clips: str
    """Folder of the prepared dataset."""
    num_samples: int
    """Clips to draw."""
    seed: int = 0
    """Seed of the draw."""
    settings: Settings = Settings()
    """How to draw."""

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
    """Clips drawn by label; multi-label: a clip counts for each of its labels, and a label of the pool may have none."""
