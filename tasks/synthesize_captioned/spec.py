"""Synthesise named everyday sounds and generic ones; their captions are true by construction: they are made from the parameters."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range

STAGE = Stage(
    name="synthesize_captioned", environment="data", version=2, memory_mb=500, time_limit_s=3600,
    row_inputs=("settings.count", "settings.named_share"),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Size and make of the set."""

    count: int = 600
    """Number of clips, spread evenly over the families of each kind."""
    named_share: float = 0.7
    """Share of the clips that are named everyday sounds (a dog, rain, a helicopter, …); the rest are generic ones (a tone, a hiss, …)."""
    duration_s: float = 2.0
    """Length of every clip."""
    sample_rate_hz: int = 16000
    """Sample rate of every clip."""
    seed: int = 0
    """Seed of the whole set."""

    def __post_init__(self) -> None:
        check_range("synthesize_captioned.count", self.count, 1, 10_000_000)
        check_range("synthesize_captioned.named_share", self.named_share, 0.0, 1.0)
        check_range("synthesize_captioned.duration_s", self.duration_s, 0.5, 60.0)
        check_range("synthesize_captioned.sample_rate_hz", self.sample_rate_hz, 8000, 96000)


@dataclass(frozen=True)
class Request:
    """One set of captioned sounds."""

    settings: Settings = Settings()
    """Size and make."""


@dataclass(frozen=True)
class Result:
    """What was made."""

    clips: int
    """Number of clips."""
    families: tuple[str, ...]
    """Kinds of sounds, sorted."""
