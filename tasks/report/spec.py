"""Make the page to look and listen at, and the score table, from finished stages: arms × sizes of the gold set × draws × seeds."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="report", environment="data", version=3, memory_mb=1000, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """What the page shows."""

    max_clips: int = 10_000
    """Clips listed, all gold clips first; of the others every class, kind and source gets its share."""
    max_pictures: int = 500
    """Clips among them whose spectrogram is drawn beforehand and whose sound is copied as WAV, every class, kind and source in turn. The
    others are linked as they are, and drawn in the browser when the page comes from a server: a page from a file may not read them."""
    max_pairs: int = 6
    """Closest pairs of a synthetic clip and another clip shown side by side, of each size of the gold set."""
    bootstrap_draws: int = 4000
    """Resamplings of the bootstrap over test clips, which stands in where there is one draw of gold clips only."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        check_range("report.max_clips", self.max_clips, 0, 100_000)
        check_range("report.max_pictures", self.max_pictures, 0, 100_000)
        check_range("report.max_pairs", self.max_pairs, 0, 1000)
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
    num_samples: int = 0
    """Gold clips asked for; 0 where the study has one size only and does not say which."""
    draw: int = 0
    """Seed of the draw of gold clips."""


@dataclass(frozen=True)
class GoldRun:
    """The gold clips of one draw."""

    path: str
    """Folder of the captioned gold clips."""
    num_samples: int = 0
    """Gold clips asked for."""
    draw: int = 0
    """Seed of the draw."""


@dataclass(frozen=True)
class SourceRun:
    """One source of synthetic clips on one draw."""

    source: str
    """Name of the source."""
    generated: tuple[str, ...]
    """Folders before the filter, one for each round of self-reflection."""
    filtered: tuple[str, ...]
    """Folders after the filter, in the same order; the same folders where there is no filter."""
    num_samples: int = 0
    """Gold clips asked for."""
    draw: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        if len(self.generated) != len(self.filtered):
            raise InvalidValueError(
                "other rounds after the filter than before", where=f"report.synthetic ({self.source})",
                allowed=f"{len(self.generated)} folders", received=len(self.filtered),
            )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """The measures of one source on one draw."""

    source: str
    """Name of the source."""
    path: str
    """Folder of ``measure_synthetic``."""
    num_samples: int = 0
    """Gold clips asked for."""
    draw: int = 0
    """Seed of the draw."""


@dataclass(frozen=True)
class Searched:
    """The search before one arm's trainings on one draw."""

    arm: str
    """Name of the arm."""
    path: str
    """Folder of ``search_mixture``, its last wave."""
    num_samples: int = 0
    """Gold clips asked for."""
    draw: int = 0
    """Seed of the draw."""


@dataclass(frozen=True)
class Request:
    """One study."""

    title: str
    """Title of the page."""
    prepare: str
    """Folder of the prepared dataset."""
    gold: tuple[GoldRun, ...]
    """The gold clips of every size and draw."""
    synthetic: tuple[SourceRun, ...]
    """The synthetic clips of every source, size and draw."""
    arms: tuple[ArmRun, ...]
    """All trainings; the first arm is what the others are measured against."""
    config: str
    """The resolved configuration, YAML."""
    measures: tuple[Measured, ...] = ()
    """What was measured of the synthetic clips."""
    searches: tuple[Searched, ...] = ()
    """What was tried before arms were trained."""
    command: str = runtime_setting(default="./run.sh")
    """What to type to get the same results; two commands that mean the same configuration share one page."""
    settings: Settings = Settings()
    """What the page shows."""

    def __post_init__(self) -> None:
        if not self.arms:
            raise InvalidValueError("nothing to report", where="report.arms", allowed="at least one training", received=self.arms)


@dataclass(frozen=True)
class Result:
    """The scores."""

    metric: str
    """What is scored: ``accuracy``, or ``mAP`` for clips with several labels."""
    accuracy: dict[str, float]
    """Mean test score by arm; with several sizes by ``arm, n=size``."""
    delta: dict[str, float]
    """Difference from the first arm at the same size, under the same names."""
    headline: str
    """The finding in a sentence for each size."""
    table: str
    """The score table as text for a terminal."""
