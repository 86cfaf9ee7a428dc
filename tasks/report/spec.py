"""Make the page to look and listen at, and the score table, from finished stages."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range, runtime_setting

STAGE = Stage(name="report", environment="data", version=1, memory_mb=1000, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """What the page shows."""

    max_clips: int = 80
    """Clips shown; every class and kind gets its share."""
    bootstrap_draws: int = 4000
    """Draws of the bootstrap over test clips."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        check_range("report.max_clips", self.max_clips, 0, 100_000)
        check_range("report.bootstrap_draws", self.bootstrap_draws, 100, 1_000_000)


@dataclass(frozen=True)
class ArmRun:
    """One training of one arm."""

    arm: str
    """Name of the arm."""
    seed: int
    """Training seed."""
    path: str
    """Folder of the training."""


@dataclass(frozen=True)
class Request:
    """One study."""

    title: str
    """Title of the page."""
    prepare: str
    """Folder of the prepared dataset."""
    gold: str
    """Folder of the captioned gold clips."""
    generated: tuple[str, ...]
    """Folders of the generated clips, before the filter."""
    filtered: tuple[str, ...]
    """Folders of the generated clips, after the filter."""
    sources: tuple[str, ...]
    """Names of the generators, in the same order."""
    arms: tuple[ArmRun, ...]
    """All trainings; the first arm is what the others are measured against."""
    config: str
    """The resolved configuration, YAML."""
    command: str = runtime_setting(default="./run.sh")
    """What to type to get the same results; two commands that mean the same configuration share one page."""
    settings: Settings = Settings()
    """What the page shows."""


@dataclass(frozen=True)
class Result:
    """The scores."""

    accuracy: dict[str, float]
    """Mean test accuracy by arm."""
    delta: dict[str, float]
    """Difference from the first arm, by arm."""
    headline: str
    """The finding in one sentence."""
    table: str
    """The score table as text for a terminal."""
