"""Play the presets that an evaluation of a preset encoder lists as nearest to sounds, and the sounds themselves, to listen to."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="play_presets", environment="presets", version=1, memory_mb=1000, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """How much is played."""

    sounds: int = 8
    """Sounds of each preset set, and sound files."""
    nearest: int = 3
    """Presets for each of them."""

    def __post_init__(self) -> None:
        check_range("play_presets.sounds", self.sounds, 0, 1000)
        check_range("play_presets.nearest", self.nearest, 1, 100)


@dataclass(frozen=True)
class Request:
    """One evaluation."""

    evaluation: str
    """Folder of evaluate_preset_encoder."""
    sampled: str
    """Set of drawn presets that it listed from."""
    hand_crafted: str = ""
    """Set of presets made by hand that it listed from; empty: none."""
    sounds: str = external_path(default="")
    """Folder of sound files, or one file, that it looked up; empty: none."""
    plugin: str = external_path(default="")
    """Plug-in that the sets were rendered with; ``dexed`` and ``builtin`` have none."""
    uri: str = ""
    """Instead of a file: the URI of an LV2 plug-in, or the name of a built-in synthesiser."""
    settings: Settings = Settings()
    """How much is played."""
    workers: int = runtime_setting(default=1)
    """Processes that play."""

    def __post_init__(self) -> None:
        for name in ("evaluation", "sampled"):
            if not getattr(self, name):
                raise InvalidValueError("missing", where=f"play_presets.{name}", allowed="a folder", received="")
        check_range("play_presets.workers", self.workers, 1, 256)


@dataclass(frozen=True)
class Result:
    """What can be listened to; ``sounds.json`` lists it."""

    presets: int
    """Presets played."""
    failed: int
    """Presets that the synthesiser could not play; they are left out."""
    files: int
    """Sound files copied."""
