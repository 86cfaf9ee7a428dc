"""Caption the gold clips, by the template or by a first MixCap whose components are measured from the audio (Synthio, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range

STAGE = Stage(name="caption", environment="data", version=1, memory_mb=500, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """How to caption."""

    mode: Literal["template", "mixcap"] = "mixcap"
    """``template`` writes "Sound of a {label}"; ``mixcap`` mixes acoustic components of the whole class into new captions."""
    captions_per_clip: int = 5
    """Captions written for each clip in mixcap mode."""
    pool_fraction: float = 0.75
    """Share of the class's pooled components that a clip's captions may draw from."""
    max_words: int = 25
    """Longest caption."""
    seed: int = 0
    """Seed of the pools and of the wording."""

    def __post_init__(self) -> None:
        check_range("caption.captions_per_clip", self.captions_per_clip, 1, 100)
        check_range("caption.pool_fraction", self.pool_fraction, 0.0, 1.0)
        check_range("caption.max_words", self.max_words, 8, 200)


@dataclass(frozen=True)
class Request:
    """One set of gold clips."""

    clips: str
    """Folder of the gold subset; train clips only."""
    settings: Settings = Settings()
    """How to caption."""


@dataclass(frozen=True)
class Result:
    """What was written."""

    clips: int
    """Clips captioned."""
    captions: int
    """Captions written."""
    distinct: int
    """Different captions among them."""
    mean_words: float
    """Mean length."""
