"""Rank audio models by how well their distances order sounds in which one attribute rises step by step (synth-proxy, 2025)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="rank_audio_models", environment="presets", version=1, memory_mb=2000, time_limit_s=24 * 3600, sharded=True)


@dataclass(frozen=True)
class Model:
    """An audio model."""

    name: str
    """``mel``, ``mel128``, ``doppelgangers``, ``mn04``, ``mn20_mel``, …, ``passt_s``, ``openl3_mel256_6144``, ``audiomae``
    (docs/presets.md); ``mstft`` and ``mfccd`` are distances between sounds, without any model."""
    weights: str = external_path(default="")
    """Its weights: a folder of train_contrastive, or the file that its authors have published."""
    reduction: Literal["avg", "max"] = "avg"
    """Of its vectors over time."""
    title: str = ""
    """What it is called in the tables; by default its name and reduction."""


@dataclass(frozen=True)
class Settings:
    """What is rendered, and who listens."""

    synth: str = "dexed"
    """Synthesiser with attributes of its own: dexed, amsynth or builtin_voice."""
    attributes: str = external_path(default="")
    """Other attributes instead: a JSON file like those of ``tasks/rank_audio_models/attributes``."""
    only: tuple[str, ...] = ()
    """Attributes to use; all by default."""
    models: tuple[Model, ...] = (Model("mel"), Model("mel128"), Model("mstft"), Model("mfccd"))
    """Who listens."""
    presets: int = 10
    """Presets for each attribute."""
    steps: int = 20
    """Settings of the attribute in each of them."""
    seed: int = 0
    """Of the presets."""
    hold_s: float = 2.0
    """Time the key is down."""
    duration_s: float = 5.0
    """Length of a sound."""
    fade_s: float = 0.1
    """Linear fade-out at its end."""
    timeout_s: float = 30.0
    """Wall-clock limit of one sound."""
    min_rms: float = 0.003
    """Every step of a preset must be louder than this over the whole clip, in full scale, and all of them different; another preset is
    drawn otherwise."""
    max_tries: int = 50
    """Presets drawn for one before the stage gives up."""
    keep_sounds: bool = False
    """Keep the sounds, float32, for ``rank_clap``: presets × steps × length of each attribute, 2.5 GB with the other defaults."""
    least_rate_hz: int = 0
    """Render at this sample rate at least: that of who listens to the kept sounds. By default the highest of ``models``."""
    plugin: str = external_path(default="")
    """Plug-in's file; ``dexed`` and ``builtin`` have none."""
    uri: str = ""
    """Instead of a file: the URI of an LV2 plug-in."""

    def __post_init__(self) -> None:
        where = "rank_audio_models"
        for name, low, high in (
            ("presets", 1, 10_000), ("steps", 3, 1000), ("hold_s", 0.001, 600.0), ("duration_s", 0.1, 600.0),
            ("fade_s", 0.0, self.duration_s), ("timeout_s", 0.01, 3600.0), ("min_rms", 0.0, 1.0), ("max_tries", 1, 100_000),
        ):  # fmt: skip
            check_range(f"{where}.{name}", getattr(self, name), low, high)
        if self.least_rate_hz:
            check_range(f"{where}.least_rate_hz", self.least_rate_hz, 4000, 384_000)
        titles = [title_of(one) for one in self.models]
        if not titles or len(set(titles)) < len(titles):
            hint = "give them titles"
            raise InvalidValueError("wants audio models, each once", where=f"{where}.models", allowed="names", received=titles, hint=hint)


@dataclass(frozen=True)
class Request:
    """One study."""

    settings: Settings = field(default_factory=Settings)
    """What is rendered, and who listens."""
    shards: int = 4
    """Parts, of some attributes each, that are recorded and resumed one by one."""
    workers: int = runtime_setting(default=1)
    """Processes that the synthesiser runs in, of each child of this stage."""

    def __post_init__(self) -> None:
        check_range("rank_audio_models.shards", self.shards, 1, 1000)
        check_range("rank_audio_models.workers", self.workers, 1, 256)


@dataclass(frozen=True)
class Result:
    """Who orders attributes best."""

    models: int
    """Audio models, and distances without one."""
    attributes: int
    """Sound attributes."""
    presets: int
    """Presets for each."""
    steps: int
    """Sounds of each preset."""
    sounds: int
    """Heard in all."""
    redrawn: int
    """Presets that were drawn again."""
    best: str
    """Title of the first of the ranking."""
    best_distance: str
    """Distance between its vectors."""
    best_correlation: float
    """Its mean rank correlation over directions, presets and attributes."""
    table: str
    """The ranking as a table for a terminal."""


def title_of(model: Model) -> str:
    """Return what a model is called in the tables."""
    return model.title or (model.name if model.reduction == "avg" else f"{model.name}/{model.reduction}")
