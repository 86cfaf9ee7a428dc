"""Match sounds: estimate the preset of each, play it, and measure how far it is from the sound and, where it is known, from its preset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="match_sound", environment="presets", version=1, memory_mb=2000, time_limit_s=24 * 3600, cpu_threads=2, uses_gpu=True)


@dataclass(frozen=True)
class Settings:
    """How much is matched and kept."""

    most: int = 0
    """Sounds of each source that are matched, by a hash of what they are; 0: all."""
    listen: int = 8
    """Sounds of each source that are written beside their matches, the first by that hash."""
    max_failed_share: float = 0.2
    """Share of the matches that the synthesiser may fail to play before the stage gives up."""

    def __post_init__(self) -> None:
        check_range("match_sound.most", self.most, 0, 10**9)
        check_range("match_sound.listen", self.listen, 0, 10**6)
        check_range("match_sound.max_failed_share", self.max_failed_share, 0.0, 1.0)


@dataclass(frozen=True)
class Request:
    """One estimator and the sounds to match."""

    matcher: str
    """Folder of train_sound_matcher."""
    presets: str = ""
    """Preset set made as the training sounds were, whose sounds are matched; empty: none."""
    split: Literal["train", "val", "test"] = "test"
    """Rows of that set."""
    clips: str = ""
    """Folder of a manifest whose clips, out of the synthesiser's domain, are matched; empty: none. They are cut or filled up with silence
    to the length of the training sounds. Nothing is learnt from them."""
    clips_split: Literal["", "train", "val", "test"] = ""
    """Clips of a split only."""
    plugin: str = external_path(default="")
    """Plug-in that the training sounds were rendered with; ``dexed`` and ``builtin`` have none."""
    uri: str = ""
    """Instead of a file: the URI of an LV2 plug-in."""
    settings: Settings = field(default_factory=Settings)
    """How much is matched and kept."""
    workers: int = runtime_setting(default=1)
    """Processes that play presets."""

    def __post_init__(self) -> None:
        check_range("match_sound.workers", self.workers, 1, 256)
        if not self.matcher:
            raise InvalidValueError("which estimator?", where="match_sound.matcher", allowed="a folder of train_sound_matcher", received="")
        if not self.presets and not self.clips:
            raise InvalidValueError("nothing to match", where="match_sound.presets", allowed="a preset set, clips, or both", received="")


@dataclass(frozen=True)
class Result:
    """Means over the sounds; None: there were none, or no such parameters. Distances are lower for better matches."""

    sounds: int
    """Of the preset set, matched."""
    failed: int
    """Of those, whose match could not be played; they are in no distance."""
    a_mean: float | None
    """Mean of the four distances."""
    stft: float | None
    """Spectral convergence and log magnitude at one resolution."""
    mstft: float | None
    """Likewise at three."""
    mel: float | None
    """Likewise of mel bands."""
    mfccd: float | None
    """MFCC distance, times 0.25."""
    mae: float | None
    """Mean absolute error of numbers."""
    switch_accuracy: float | None
    """Share of right switches."""
    category_accuracy: float | None
    """Share of right categories."""
    baseline_a_mean: float | None
    """``a_mean`` of another sound of the set in place of each match: what chance does."""
    clips: int
    """Out of domain, matched."""
    clips_failed: int
    """Of those, whose match could not be played, or that could not be read."""
    clips_a_mean: float | None
    """``a_mean`` of those."""
    clips_baseline_a_mean: float | None
    """Likewise with a sound of the preset set in place of each match; None without one."""
    table: str
    """All of it as a table for a terminal."""
