"""Make the page and the tables of a study of frozen encoders: every encoder under every probe, beside the baselines."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="report_probes", environment="data", version=1, memory_mb=500, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """What the page shows."""

    max_pairs: int = 6
    """Pairs of each shown training that can be listened to."""

    def __post_init__(self) -> None:
        check_range("report_probes.max_pairs", self.max_pairs, 0, 1000)


@dataclass(frozen=True)
class Run:
    """One encoder with one seed under one probe."""

    encoder: str
    """Name of the encoder."""
    seed: int
    """Seed of its training, or of its first weights."""
    probe: str
    """Name of the probe."""
    scores: str
    """Folder of ``probe``."""
    training: str = ""
    """Folder of ``train_contrastive``; empty for baselines."""


@dataclass(frozen=True)
class Request:
    """One study."""

    title: str
    """Title of the page."""
    runs: tuple[Run, ...]
    """All probes; encoders and probes are listed in order of appearance, and those without a training are the baselines."""
    config: str
    """The resolved configuration, YAML."""
    command: str = runtime_setting(default="./run.sh")
    """What to type to get the same results."""
    settings: Settings = Settings()
    """What the page shows."""
    measures: str = ""
    """Folder of ``measure_sounds``; empty: none were measured."""
    factors: str = ""
    """Folder of the sounds of the probe ``parameters``, which says what the parameters are called; empty: there is no such probe."""

    def __post_init__(self) -> None:
        where = "report_probes.runs"
        if not self.runs:
            raise InvalidValueError("nothing to report", where=where, allowed="at least one probe", received=self.runs)
        named = [(run.encoder, run.seed, run.probe) for run in self.runs]
        if len(set(named)) < len(named):
            raise InvalidValueError("a probe is named twice", where=where, allowed="each encoder, seed and probe once", received=named)


@dataclass(frozen=True)
class Result:
    """The scores."""

    metric: str
    """What is scored: ``accuracy``, ``mAP`` or ``R2``."""
    scores: dict[str, float]
    """Mean score by ``encoder, probe``."""
    headline: str
    """The finding in a sentence."""
    table: str
    """The score table as text for a terminal."""
