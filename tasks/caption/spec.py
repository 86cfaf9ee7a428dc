"""Caption the gold clips: the template, or one of Synthio's ways of captioning, by a grammar or by a language model (section 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range
from tasks.language_model.settings import Asked, CaptionerSettings

STAGE = Stage(name="caption", environment="data", version=2, memory_mb=500, time_limit_s=24 * 3600)


@dataclass(frozen=True)
class Settings(CaptionerSettings):
    """How to caption."""

    mode: Literal["template", "plain", "plain_wo_caption", "mixcap", "supcon", "multi_label"] = "mixcap"
    """``template``: "Sound of a {label}". ``plain``: the clip's own description, rewritten with more events or context.
    ``plain_wo_caption``: label and domain only. ``mixcap``: acoustic components of the whole class, mixed into new captions.
    ``supcon``: label and domain, as different from each other as possible; also written as ``captions_supcon``.
    ``multi_label``: every caption contains all labels of its clip."""
    captions_per_clip: int = 5
    """Captions written for each clip, except in template mode."""
    pool_fraction: float = 0.75
    """Share of the class's pooled components that a clip's captions may draw from (mixcap)."""

    def __post_init__(self) -> None:
        self.check_captioner("caption")
        check_range("caption.captions_per_clip", self.captions_per_clip, 1, 100)
        check_range("caption.pool_fraction", self.pool_fraction, 0.0, 1.0)


@dataclass(frozen=True)
class Request:
    """One set of gold clips."""

    clips: str
    """Folder of the gold subset, also after ``describe``; train clips only."""
    settings: Settings = Settings()
    """How to caption."""


@dataclass(frozen=True)
class Result(Asked):
    """What was written, and what it cost."""

    clips: int
    """Clips captioned."""
    captions: int
    """Captions written."""
    distinct: int
    """Different captions among them."""
    mean_words: float
    """Mean length."""
