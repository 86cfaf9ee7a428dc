"""Revise the captions of rejected clips with the components of the accepted ones (Synthio's self-reflection, section 1.7)."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range
from core.errors import InvalidValueError
from tasks.language_model.settings import Asked, CaptionerSettings

STAGE = Stage(name="revise_captions", environment="data", version=1, memory_mb=500, time_limit_s=24 * 3600)


@dataclass(frozen=True)
class Settings(CaptionerSettings):
    """How to revise; names and meanings are those of ``caption``."""

    reasks: int = 3
    """How often a question is put again when the answer is malformed or unfit; after that the caption stays as it was."""
    max_fallback_fraction: float = 0.1
    """Share of captions that may stay as they were for want of a usable answer; above it the stage fails."""

    def __post_init__(self) -> None:
        self.check_captioner("revise_captions")


@dataclass(frozen=True)
class Request:
    """One round of self-reflection."""

    clips: str
    """Folder of the captioned gold clips."""
    rounds: tuple[str, ...]
    """Folders of the filtered clips of all rounds so far, first to last; the last one's rejected clips are revised."""
    round: int
    """Number of the round that the new captions are for; the first generation is round 0."""
    settings: Settings = Settings()
    """How to revise."""

    def __post_init__(self) -> None:
        check_range("revise_captions.round", self.round, 1, 1000)
        if not self.rounds:
            raise InvalidValueError(
                "nothing to revise", where="revise_captions.rounds", allowed="at least one folder", received=self.rounds
            )


@dataclass(frozen=True)
class Result(Asked):
    """What was revised, and what it cost."""

    clips: int
    """Gold clips with at least one rejected clip."""
    rejected: int
    """Rejected clips of the last round."""
    revised: int
    """Rejected clips that got a new caption."""
    unchanged: int
    """Rejected clips whose caption stayed: it is tried once more with another seed."""
    accepted: int
    """Clips accepted in any round, whose components the new captions stay away from."""
