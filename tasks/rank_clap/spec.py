"""Let CLAP take part in a ranking of audio models: it hears the sounds that rank_audio_models kept, and the table is ranked anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError
from tasks.clap_model.settings import ClapTowers

STAGE = Stage(
    name="rank_clap", environment="clap", version=1, memory_mb=2500, time_limit_s=24 * 3600, cpu_threads=1, uses_gpu=True, sharded=True
)


@dataclass(frozen=True)
class Settings(ClapTowers):
    """How CLAP listens."""

    title: str = "clap"
    """What it is called in the tables."""
    reduction: Literal["avg", "max"] = "avg"
    """Of the vectors of a sound's windows; a sound no longer than one window has only one."""


@dataclass(frozen=True)
class Request:
    """One study."""

    ranking: str
    """Folder of rank_audio_models with ``keep_sounds``."""
    checkpoint: str = external_path()
    """Folder of ``train_clap``, or a LAION-CLAP checkpoint file."""
    shards: int = 4
    """Parts, of some attributes each, that are recorded and resumed one by one."""
    settings: Settings = Settings()
    """How CLAP listens."""

    def __post_init__(self) -> None:
        check_range("rank_clap.shards", self.shards, 1, 1000)
        for name, allowed in (("ranking", "a folder"), ("checkpoint", "a LAION-CLAP checkpoint file or a folder of train_clap")):
            if not getattr(self, name):
                raise InvalidValueError("missing", where=f"rank_clap.{name}", allowed=allowed, received="")


@dataclass(frozen=True)
class Result:
    """Where CLAP came."""

    models: int
    """Audio models, and distances without one, CLAP among them."""
    sounds: int
    """Heard in all."""
    place: int
    """Of CLAP's best distance in the ranking, from 1."""
    correlation: float
    """Its mean rank correlation over directions, presets and attributes."""
    best: str
    """Title of the first of the ranking."""
    table: str
    """The ranking as a table for a terminal."""
