"""Write the sounds of a preset set as clips with a manifest, so that other flows can retrieve them, caption them and train on them."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range
from core.errors import InvalidValueError

STAGE = Stage(name="preset_clips", environment="data", version=1, memory_mb=500, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """What the clips are called, and how loud they are."""

    label: str = "synthesizer note"
    """Label of presets that have none of their own; presets made by hand may."""
    level_dbfs: float = -20.0
    """RMS of every clip, in dB full scale; less where its peaks would clip."""

    def __post_init__(self) -> None:
        check_range("preset_clips.level_dbfs", self.level_dbfs, -60.0, 0.0)
        if not self.label.strip():
            raise InvalidValueError("empty", where="preset_clips.label", allowed="words", received=self.label)


@dataclass(frozen=True)
class Request:
    """One preset set."""

    presets: str
    """Folder of render_presets, with sounds (``audio_clips``); presets without a kept sound are left out."""
    settings: Settings = Settings()
    """What the clips are called, and how loud they are."""

    def __post_init__(self) -> None:
        if not self.presets:
            raise InvalidValueError("no presets", where="preset_clips.presets", allowed="a folder of render_presets", received="")


@dataclass(frozen=True)
class Result:
    """What was written."""

    clips: int
    """Number of clips."""
    labels: int
    """Different labels."""
    seconds: float
    """Total duration."""
