"""Make the page and the tables of a study of preset encoders: every encoder on drawn presets and on presets made by hand."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="report_presets", environment="data", version=1, memory_mb=1000, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """What the page shows."""

    max_rejected: int = 20
    """Rejected presets of each set that are listed; the tables beside the page have all of them."""
    max_matches: int = 8
    """Matched sounds of each source that can be listened to."""

    def __post_init__(self) -> None:
        check_range("report_presets.max_rejected", self.max_rejected, 0, 100_000)
        check_range("report_presets.max_matches", self.max_matches, 0, 1000)


@dataclass(frozen=True)
class Run:
    """One encoder with one seed."""

    encoder: str
    """Name of the encoder."""
    seed: int
    """Seed of its training."""
    scores: str
    """Folder of evaluate_preset_encoder."""
    training: str
    """Folder of train_preset_encoder."""
    search: str = ""
    """Folder of search_preset_encoder that chose its settings; empty: nobody searched."""


@dataclass(frozen=True)
class SetFolder:
    """One preset set."""

    name: str
    """What it is for: train, validation, test, hand-crafted."""
    path: str
    """Folder of render_presets."""


@dataclass(frozen=True)
class Match:
    """One study of sound matching."""

    name: str
    """Shown in the table."""
    scores: str
    """Folder of match_sound."""
    training: str
    """Folder of train_sound_matcher."""


@dataclass(frozen=True)
class Request:
    """One study."""

    title: str
    """Title of the page."""
    runs: tuple[Run, ...]
    """All evaluations; encoders are listed in order of appearance."""
    sets: tuple[SetFolder, ...]
    """What they were trained and scored on."""
    config: str
    """The resolved configuration, YAML."""
    probe: str = ""
    """Folder of probe_synth; empty: nobody looked whether the synthesiser repeats itself."""
    played: str = ""
    """Folder of play_presets; empty: nothing to listen to."""
    ranking: str = ""
    """Folder of rank_audio_models; empty: audio models were not ranked."""
    matches: tuple[Match, ...] = ()
    """Sound matching; none: it was not tried."""
    command: str = runtime_setting(default="./run.sh")
    """What to type to get the same results."""
    settings: Settings = Settings()
    """What the page shows."""

    def __post_init__(self) -> None:
        where = "report_presets"
        if not self.runs or not self.sets:
            raise InvalidValueError("nothing to report", where=f"{where}.runs, sets", allowed="at least one of each", received=[])
        named = [(run.encoder, run.seed) for run in self.runs]
        if len(set(named)) < len(named):
            raise InvalidValueError("one encoder twice", where=f"{where}.runs", allowed="each encoder and seed once", received=named)


@dataclass(frozen=True)
class Result:
    """The scores."""

    scores: dict[str, float]
    """Mean reciprocal rank, one against all, presets as queries, by ``encoder, set``."""
    best: str
    """The encoder that validates best."""
    headline: str
    """The finding in a sentence."""
    table: str
    """The score tables as text for a terminal."""
