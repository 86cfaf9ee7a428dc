"""What a ``delsa`` run can be told; the shape of ``configs/delsa.yaml``. Stage settings are the stages' own dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from core.contract import build, check_range, coerce, to_dict
from core.errors import InvalidValueError
from flows.datasets import DEMO, Dataset
from flows.settings import RunSettings
from flows.source_settings import SourceSettings
from tasks.caption_scenes import spec as caption_scenes
from tasks.evaluate_spatial import spec as evaluate_spatial
from tasks.import_rirs import spec as import_rirs
from tasks.prepare_sources import spec as prepare_sources
from tasks.report_spatial import spec as report_spatial
from tasks.simulate_rooms import spec as simulate_rooms
from tasks.simulate_rooms.spec import Settings as RoomSettings
from tasks.simulate_rooms.spec import Split
from tasks.spatialise import spec as spatialise
from tasks.train_spatial import spec as train_spatial
from tasks.train_spatial.spec import Settings as TrainingSettings

STARTS = ("htsat", "roberta", "branch", "checkpoint")
"""Weights that a training can start from: keys of an entry of ``models`` that are no settings of the stage."""
SOURCES, WEIGHTS = "sources", "weights"
"""Further keys of that kind: the dry clips that it is trained on."""


@dataclass(frozen=True)
class Captioned:
    """Captioned clips as AudioCaps publishes them, instead of ``dataset``: a CSV for each split, files named after the captions' ids."""

    root: str = ""
    """Folder with the sound files; empty: ``dataset`` is used."""
    csv: str = ""
    """Table of the train captions, relative to where run.sh was called."""
    val_csv: str = ""
    """Table of the validation captions, likewise."""
    test_csv: str = ""
    """Table of the test captions, likewise."""
    prepare_sources: prepare_sources.Settings = field(default_factory=prepare_sources.Settings)
    """Columns, and what the clips become."""


@dataclass(frozen=True)
class Config(RunSettings):
    """A whole ``delsa`` run."""

    dataset: Dataset = DEMO
    """The dry clips: their captions, or else their labels in words, say what sounds."""
    captioned: Captioned = field(default_factory=Captioned)
    """Captioned dry clips instead."""
    responses: str = ""
    """Folder of measured or simulated room responses of others (WAV or SOFA), read as ``import_rirs`` says; empty: rooms are simulated."""
    geometry: str = ""
    """CSV of rooms and positions to simulate instead of drawn ones, in the form of DISSE's ``rir_fixed.csv``."""
    models: dict[str, dict[str, Any]] = field(default_factory=lambda: {"delsa": {}})
    """What is trained, by name: settings of ``train_spatial`` that differ, such as ``{without physics: {physical_weight: 0}}``. Besides,
    ``htsat``, ``roberta``, ``branch`` and ``checkpoint``: a file, a folder, or a hub name ``owner/model`` of weights to start from; and
    ``sources``, names of what ``sources`` can make from the train clips, with ``weights``: ``{sources: [gold, noise, dexed]}``."""
    sources: SourceSettings = field(default_factory=SourceSettings)
    """How sources of dry clips are made; each only when a model names it."""
    training_seeds: tuple[int, ...] = (42,)
    """One training per model and seed."""
    pretrain_branch: bool = False
    """Train the spatial branch on attributes of the training rooms first (one for each seed), and start the models from it."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Settings of ``train_spatial`` that differ for that."""
    scenes: bool = True
    """Whether held-out scenes are captioned and listed for the page: as ``caption_scenes`` and ``spatialise`` say."""
    recordings: str = ""
    """Folder of real first-order recordings with known directions, on which every model is scored besides: see ``evaluate_spatial``."""
    grid_sources: str = ""
    """List of the clips of these scenes: clip ids or caption ids, one a line or in a CSV."""
    grid_spaces: str = ""
    """List of the responses of these scenes: ids or paths, likewise."""
    simulate_rooms: simulate_rooms.Settings = field(
        default_factory=lambda: RoomSettings(train=Split("random", 240), val=Split("random", 48), sample_rate_hz=16_000)
    )
    import_rirs: import_rirs.Settings = field(default_factory=import_rirs.Settings)
    caption_scenes: caption_scenes.Settings = field(
        default_factory=lambda: caption_scenes.Settings(pairing="draw", per_clip=1, split="test")
    )
    spatialise: spatialise.Settings = field(default_factory=lambda: spatialise.Settings(store="none"))
    train_spatial: train_spatial.Settings = field(default_factory=lambda: TrainingSettings(epochs=16))
    evaluate_spatial: evaluate_spatial.Settings = field(default_factory=lambda: evaluate_spatial.Settings(sources=48, spaces=48))
    report_spatial: report_spatial.Settings = field(default_factory=report_spatial.Settings)
    shown_responses: int = 4
    """Responses of which plan and decay are drawn."""
    shards: int = 8
    """Parts that rooms and scenes are cut into; each is recorded and resumed by itself."""

    def __post_init__(self) -> None:
        check_range("shards", self.shards, 1, 10_000)
        check_range("shown_responses", self.shown_responses, 0, 1000)
        if not (self.models and self.training_seeds):
            raise InvalidValueError("empty", where="models, training_seeds", allowed="at least one of each", received=())
        if len(set(self.training_seeds)) < len(self.training_seeds):
            seeds = list(self.training_seeds)
            raise InvalidValueError("something twice", where="training_seeds", allowed="different values", received=seeds)
        if self.responses and self.geometry:
            where, hint = "geometry", "geometry lists rooms to simulate; responses are ready"
            raise InvalidValueError("two sources of rooms", where=where, allowed="empty with responses", received=self.geometry, hint=hint)
        if self.captioned.root and self.dataset.root:
            where, received = "captioned.root", [self.captioned.root, self.dataset.root]
            raise InvalidValueError("two datasets", where=where, allowed="captioned.root or dataset.root", received=received)
        self._check_models()

    def _check_models(self) -> None:
        for name in self.models:
            self.mixture(name)
            settings = self.training(name)
            if settings.task != "contrast":
                where, hint = f"models.{name}.task", "pretrain_branch=true trains the attributes"
                raise InvalidValueError("is no model", where=where, allowed="contrast", received=settings.task, hint=hint)
            branch = self.start(name, "branch")
            if self.pretrain_branch and branch:
                where = f"models.{name}.branch"
                raise InvalidValueError("two beginnings", where=where, allowed="empty with pretrain_branch", received=branch)
            if self.start(name, "checkpoint") and not self.start(name, "roberta"):
                where, hint = f"models.{name}.roberta", "FacebookAI/roberta-base, or the folder of roberta-base"
                raise InvalidValueError("its tokenizer is missing", where=where, allowed="a folder or hub name", received="", hint=hint)
        if self.pretrain_branch:
            self.branch_training()

    def training(self, name: str) -> TrainingSettings:
        """Return a model's settings."""
        own = {key: value for key, value in self.models[name].items() if key not in (*STARTS, SOURCES, WEIGHTS)}
        return build(TrainingSettings, {**to_dict(self.train_spatial), **own}, f"models.{name}")

    def start(self, name: str, part: str) -> str:
        """Return what a part of a model starts from, as a person wrote it; empty: from nothing.

        Raises:
            InvalidValueError: it is no text.
        """
        found = self.models[name].get(part, "")
        if not isinstance(found, str):
            raise InvalidValueError("no name", where=f"models.{name}.{part}", allowed="a file, a folder or a hub name", received=found)
        return found

    def mixture(self, name: str) -> tuple[tuple[str, ...], dict[str, float]]:
        """Return the sources of a model's dry clips, and their weights; none: the dataset's train clips.

        Raises:
            InvalidValueError: they are no sources.
        """
        own, where = self.models[name], f"models.{name}"
        names: tuple[str, ...] = coerce(tuple[str, ...], own.get(SOURCES, ()), f"{where}.{SOURCES}")
        weights: dict[str, float] = coerce(dict[str, float], own.get(WEIGHTS, {}), f"{where}.{WEIGHTS}")
        if names or weights:
            self.sources.check_sources(where, names, weights, labels=False)
        return names, weights

    def branch_training(self) -> TrainingSettings:
        """Return the settings of the spatial branch's own training."""
        found = build(TrainingSettings, {**to_dict(self.train_spatial), **self.attributes}, "attributes")
        return replace(found, task="attributes")
