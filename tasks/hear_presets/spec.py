"""Have CLAP listen to the kept sounds of a preset set: the same set with CLAP's embeddings in place of those it had, if any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError
from tasks.clap_model.settings import ClapTowers

STAGE = Stage(
    name="hear_presets", environment="clap", version=1, memory_mb=2500, time_limit_s=24 * 3600, cpu_threads=1, uses_gpu=True, sharded=True
)


@dataclass(frozen=True)
class Settings(ClapTowers):
    """How CLAP listens."""

    reduction: Literal["avg", "max"] = "avg"
    """Of the vectors of a sound's windows; a sound no longer than one window has only one."""


@dataclass(frozen=True)
class Request:
    """One preset set."""

    presets: str
    """Preset set of render_presets with all of its sounds (``audio_clips`` −1); with or without embeddings."""
    checkpoint: str = external_path()
    """Folder of ``train_clap``, or a LAION-CLAP checkpoint file."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""
    settings: Settings = Settings()
    """How CLAP listens."""

    def __post_init__(self) -> None:
        check_range("hear_presets.shards", self.shards, 1, 100_000)
        for name, allowed in (("presets", "a preset set"), ("checkpoint", "a LAION-CLAP checkpoint file or a folder of train_clap")):
            if not getattr(self, name):
                raise InvalidValueError("missing", where=f"hear_presets.{name}", allowed=allowed, received="")


@dataclass(frozen=True)
class Result:
    """What was heard."""

    rows: int
    """Presets in the set."""
    dimensions: int
    """Of an embedding."""
    windows: int
    """Of each sound."""
    audio_model: str
    """Who listened: ``clap:`` and the digest of its weights, and ``/max`` where the windows are reduced so."""
