"""Make the page and the tables of a study of spatial audio–text models: retrieval, invariance, physical errors, rooms, scenes to hear."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="report_spatial", environment="data", version=1, memory_mb=800, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """What the page shows."""

    max_scenes: int = 8
    """Scenes that can be listened to; directions take turns, and those that were scored come first."""
    half_angle_deg: float = 90.0
    """The stereo decode is what cardioids hear that look so far to the left and right of the front."""
    seed: int = 0
    """Of the choice of scenes."""

    def __post_init__(self) -> None:
        check_range("report_spatial.max_scenes", self.max_scenes, 0, 1000)
        check_range("report_spatial.half_angle_deg", self.half_angle_deg, 15.0, 90.0)


@dataclass(frozen=True)
class Run:
    """One model with one seed."""

    model: str
    """Name of the model."""
    seed: int
    """Seed of its training."""
    scores: str
    """Folder of ``evaluate_spatial``."""
    training: str
    """Folder of ``train_spatial``."""


@dataclass(frozen=True)
class Request:
    """One study."""

    title: str
    """Title of the page."""
    runs: tuple[Run, ...]
    """All models and seeds; models are listed in order of appearance."""
    catalogue: str
    """Folder of ``simulate_rooms`` or ``import_rirs``."""
    config: str
    """The resolved configuration, YAML."""
    command: str = runtime_setting(default="./run.sh")
    """What to type to get the same results."""
    settings: Settings = Settings()
    """What the page shows."""
    pictures: str = ""
    """Folder of ``plot_rooms``; empty: no rooms are shown."""
    scenes: str = ""
    """Folder of ``spatialise``; empty: there is nothing to listen to."""

    def __post_init__(self) -> None:
        where = "report_spatial.runs"
        if not self.runs:
            raise InvalidValueError("nothing to report", where=where, allowed="at least one model", received=self.runs)
        named = [(run.model, run.seed) for run in self.runs]
        if len(set(named)) < len(named):
            raise InvalidValueError("a run is named twice", where=where, allowed="each model and seed once", received=named)


@dataclass(frozen=True)
class Result:
    """The scores."""

    scores: dict[str, float]
    """R@1 by ``model, task``, mean over both directions and all seeds."""
    over_chance: dict[str, float]
    """The same over chance."""
    direction_deg: dict[str, float]
    """Median angle between told and true direction by model, mean over seeds."""
    headline: str
    """The finding in a sentence."""
    table: str
    """The retrieval table as text for a terminal."""
