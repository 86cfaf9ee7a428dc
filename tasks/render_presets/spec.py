"""Render presets of a synthesiser, drawn at random or made by hand, and have an audio model listen: a preset set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="render_presets", environment="presets", version=1, memory_mb=1500, time_limit_s=48 * 3600, sharded=True)


@dataclass(frozen=True)
class Settings:
    """What to render, and how. A drawn preset hangs on ``seed`` and its number only: the first hundred of a thousand are those of a
    hundred. The defaults are synth-proxy's."""

    synth: str = "dexed"
    """Spec that comes with the project: dexed, amsynth, tal_noisemaker, diva or builtin_voice."""
    spec: str = external_path(default="")
    """Another spec instead: a JSON file, or a folder of probe_synth, whose verdict on repeatability the set then records."""
    backend: Literal["", "pedalboard", "dexed", "dawdreamer", "builtin"] = ""
    """What plays; by default the spec's own back end."""
    plugin: str = external_path(default="")
    """Plug-in's file or bundle; ``dexed`` and ``builtin`` have none."""
    uri: str = ""
    """Instead of a file: the URI of an LV2 plug-in, or the name of a built-in synthesiser."""
    plugin_name: str = ""
    """Which plug-in of a file that holds several."""
    n: int = 1000
    """Presets to draw; those that no sound comes out of, in ``max_tries``, are missing from the set."""
    first: int = 0
    """Number of the first preset drawn. Sets of one seed whose numbers do not overlap have no preset in common."""
    seed: int = 0
    """Of everything."""
    presets: str = external_path(default="")
    """Presets made by hand instead of drawn ones: a file or folder of DX7 banks, amsynth banks or JSON."""
    missing: Literal["default", "zero"] = "default"
    """Made by hand: what a parameter that a preset does not name gets; ``zero`` is synth-proxy's."""
    excluded: Literal["nearest", "drop"] = "nearest"
    """Made by hand: a preset with a step that is never drawn (a random wave) gets the nearest other one, or is left out."""
    split: Literal["train", "val", "test"] = "train"
    """What drawn presets are for."""
    test_share: float = 0.1
    """Made by hand: share of the presets that are for testing, the others are for training."""
    notes: tuple[int, ...] = (60,)
    """MIDI notes; with several, each preset gets one by chance."""
    velocities: tuple[int, ...] = (100,)
    """MIDI velocities, likewise."""
    hold_s: float = 2.0
    """Time the key is down."""
    duration_s: float = 5.0
    """Length of a clip."""
    fade_s: float = 0.1
    """Linear fade-out at its end."""
    sample_rate_hz: int = 0
    """0: the audio model's, 32,000 without one."""
    initialization_timeout_s: float = 0.0
    """pedalboard: how long to wait for a new instance to sound."""
    buffer_samples: int = 512
    """Samples a plug-in is asked for at a time."""
    fresh: bool = True
    """A clean instance for each preset."""
    timeout_s: float = 30.0
    """Wall-clock limit of one preset; one that takes longer is lost."""
    min_rms: float = 0.01
    """Presets must be louder than this over the whole clip, in full scale …"""
    max_rms: float = 1.0
    """… and softer than this. Drawn ones are drawn again otherwise, those made by hand left out."""
    max_tries: int = 100
    """Draws after which a number is given up."""
    max_lost_share: float = 0.1
    """Share of the presets that may be lost to crashes, hangs, errors and ``max_tries`` before the stage gives up."""
    audio_model: str = "mel"
    """``mel`` (mean and deviation of log-mel bands), ``mel128``, ``doppelgangers``, ``mn04``, ``mn20_mel``, …, ``passt_s``,
    ``openl3_mel256_6144``, ``audiomae`` (docs/presets.md); empty: none."""
    audio_weights: str = external_path(default="")
    """The model's weights: a folder of train_contrastive, or the file that the model's authors have published."""
    reduction: Literal["avg", "max"] = "avg"
    """Of the audio model's vectors over time."""
    audio_clips: int = 0
    """Sounds to keep: those of the first numbers; −1: all."""
    audio_type: Literal["float16", "float32"] = "float16"
    """Of kept sounds."""
    mel_clips: int = 0
    """Log-mel spectrograms [128, frames] to keep, likewise; 1,024-point frames every 512 samples."""

    def __post_init__(self) -> None:
        where = "render_presets"
        for name, low, high in (
            ("n", 1, 10**9), ("first", 0, 10**15), ("test_share", 0.0, 1.0), ("hold_s", 0.001, 600.0), ("duration_s", 0.01, 600.0),
            ("fade_s", 0.0, self.duration_s), ("initialization_timeout_s", 0.0, 600.0), ("buffer_samples", 16, 65_536),
            ("timeout_s", 0.01, 3600.0), ("min_rms", 0.0, self.max_rms), ("max_rms", 1e-6, 1e6), ("max_tries", 1, 100_000),
            ("max_lost_share", 0.0, 1.0), ("audio_clips", -1, 10**9), ("mel_clips", -1, 10**9),
        ):  # fmt: skip
            check_range(f"{where}.{name}", getattr(self, name), low, high)
        if self.sample_rate_hz:
            check_range(f"{where}.sample_rate_hz", self.sample_rate_hz, 4000, 384_000)
        for name, values in (("notes", self.notes), ("velocities", self.velocities)):
            if not values:
                raise InvalidValueError("none", where=f"{where}.{name}", allowed="at least one", received=values)
            for value in values:
                check_range(f"{where}.{name}", value, name == "velocities", 127)
        if self.plugin and self.uri:
            received = [self.plugin, self.uri]
            raise InvalidValueError("two plug-ins", where=f"{where}.uri", allowed="a file or an identifier", received=received)
        if self.audio_weights and not self.audio_model:
            raise InvalidValueError("weights of which model?", where=f"{where}.audio_model", allowed="a name", received="")


@dataclass(frozen=True)
class Request:
    """One preset set."""

    settings: Settings = field(default_factory=Settings)
    """What to render, and how."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""
    workers: int = runtime_setting(default=1)
    """Processes that plug-ins run in, of each child of this stage; there is a child for every free core anyway."""
    recycle_renders: int = runtime_setting(default=1000)
    """Presets after which such a process is replaced."""
    recycle_mb: float = runtime_setting(default=1500.0)
    """Memory above which it is replaced."""

    def __post_init__(self) -> None:
        check_range("render_presets.shards", self.shards, 1, 100_000)
        check_range("render_presets.workers", self.workers, 1, 256)
        check_range("render_presets.recycle_renders", self.recycle_renders, 1, 10**9)
        check_range("render_presets.recycle_mb", self.recycle_mb, 1.0, 10**6)


@dataclass(frozen=True)
class Result:
    """What was made."""

    rows: int
    """Presets in the set."""
    parameters: int
    """Used parameters of the synthesiser."""
    dimensions: int
    """Of an embedding; 0 without an audio model."""
    draws: int
    """Presets rendered, those drawn again included."""
    rejected: int
    """Presets that are missing from the set."""
    crashed: int
    """Of those, ended or froze the plug-in's process, or made it fail."""
    removed: int
    """Made by hand: presets that were not rendered, since another one is the same or they could not be used."""
    kept_sounds: int
    """Sounds kept."""
