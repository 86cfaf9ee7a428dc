"""What a ``doppelgangers`` run can be told; the shape of ``configs/doppelgangers.yaml``. Stage settings are the stages' own dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from core.contract import build, check_range, coerce, to_dict
from core.errors import InvalidValueError
from flows.datasets import DEMO, Dataset
from flows.settings import RunSettings
from flows.source_settings import SourceSettings
from tasks.embed import spec as embed
from tasks.measure_sounds import spec as measure_sounds
from tasks.probe import spec as probe
from tasks.probe.spec import Settings as ProbeSettings
from tasks.report_probes import spec as report_probes
from tasks.synthesize import spec as synthesize
from tasks.synthesize.spec import Settings as SoundSettings
from tasks.synthesize_grid import spec as synthesize_grid
from tasks.synthesize_grid.spec import FactorValues
from tasks.train_contrastive import spec as train_contrastive
from tasks.train_contrastive.spec import Settings as TrainingSettings
from tasks.train_supervised import spec as train_supervised
from tasks.train_supervised.spec import Settings as SupervisedSettings

Judge = Literal["linear", "arch", "hear", "knn"]
Baseline = Literal["random", "mel", "supervised"]
BASELINES: tuple[Baseline, ...] = ("random", "mel")
REAL, SOURCES, WEIGHTS = "folder", "sources", "weights"
"""Keys of an entry of ``encoders`` that are no settings of the stage: clips to train on."""
NEXT_FOLD_VALIDATES = ("vivae",)
"""Datasets of which ARCH keeps the next fold for validation; of the others it draws a share of the training clips."""
PROXY_SEED = 1_000_001
"""Of sounds that embeddings are asked about; far from the seeds that encoders are trained with."""


@dataclass(frozen=True)
class Config(RunSettings):
    """A whole ``doppelgangers`` run."""

    dataset: Dataset = DEMO
    """The labelled clips that the encoders are probed on; with folds, over the folds."""
    encoders: dict[str, dict[str, Any] | None] = field(default_factory=lambda: {"doppelgangers": {}})
    """What is trained, by name: settings of ``train_contrastive`` that differ, such as ``{delta 0.05: {delta: 0.05}}``. With ``folder``, a
    folder of sound files, it is trained on those instead of synthesised sounds: ``{real: {folder: DIR, temporal_jitter: true}}``. With
    ``sources``, names of what ``sources`` can make from the dataset's train clips, and ``weights`` of them, it is trained on these:
    ``{mixed: {sources: [gold, spatial, dexed], weights: {gold: 2}, temporal_jitter: true}}``. ``{doppelgangers: null}`` leaves one out."""
    sources: SourceSettings = field(default_factory=SourceSettings)
    """How sources are made; each only when an encoder names it."""
    training_seeds: tuple[int, ...] = (1,)
    """One training per encoder and seed."""
    baselines: tuple[Baseline, ...] = BASELINES
    """``random``: the first encoder's network with its first weights, one per seed; ``mel``: mean and deviation of each mel band;
    ``supervised``: the network trained with the labels from scratch, fold by fold."""
    supervised_on: tuple[str, ...] = ()
    """Baseline ``supervised``: train it on these sources with labels, on a dataset that has splits and no folds; empty: on the dataset."""
    probes: tuple[Literal["linear", "arch", "hear", "knn", "published"], ...] = ("linear", "knn")
    """What the frozen embeddings are judged by; the first one makes the headline. ``published``: the dataset's ``protocol``."""
    proxies: tuple[Literal["parameters", "tones"], ...] = ()
    """What the embeddings are asked besides, on sounds that need no download: ``parameters`` of synthesised sounds (R²); waveform
    (accuracy) and pitch (R²) of SynTone's ``tones``."""
    measured_pairs: int = 100
    """Pairs of each encoder's sounds whose spectral features, Fréchet distance to the train clips and distance of twins are measured; 0:
    none."""
    pregenerated_pairs: int = 0
    """Train on so many pairs that are written to disk first, over and over; 0: on an endless stream, as published."""
    train_contrastive: train_contrastive.Settings = field(default_factory=train_contrastive.Settings)
    embed: embed.Settings = field(default_factory=embed.Settings)
    probe: probe.Settings = field(default_factory=probe.Settings)
    train_supervised: train_supervised.Settings = field(default_factory=train_supervised.Settings)
    parameter_sounds: synthesize.Settings = field(
        default_factory=lambda: SoundSettings(n=1000, pairs=False, val_share=0.0, seed=PROXY_SEED)
    )
    """Proxy ``parameters``: the sounds."""
    tones: synthesize_grid.Settings = field(
        default_factory=lambda: synthesize_grid.Settings(
            num_amps=3, factors={"frequency": FactorValues(start=110.0, stop=1760.0, num=49, scale="log")}
        )
    )
    """Proxy ``tones``: the grid; four octaves in which waveforms differ by their harmonics."""
    measure_sounds: measure_sounds.Settings = field(default_factory=measure_sounds.Settings)
    report_probes: report_probes.Settings = field(default_factory=report_probes.Settings)
    shards: int = 4
    """Parts that embedding is cut into; each is recorded and resumed by itself."""

    def __post_init__(self) -> None:
        check_range("shards", self.shards, 1, 10_000)
        if not (self.probes and self.training_seeds and (self.wanted or "mel" in self.baselines)):
            where = "encoders, training_seeds, probes"
            raise InvalidValueError("empty", where=where, allowed="at least one of each", received=())
        if "random" in self.baselines and not self.wanted:
            hint = "baselines=[mel], or name an encoder"
            raise InvalidValueError("has no network", where="baselines", allowed=("mel",), received=list(self.baselines), hint=hint)
        if "published" in self.probes and not self.dataset.protocol:
            hint = "take linear, arch, hear or knn, or set dataset.protocol"
            raise InvalidValueError(
                "the dataset names none", where="probes", allowed="a dataset with a protocol", received="published", hint=hint
            )
        check_range("measured_pairs", self.measured_pairs, 0, 1_000_000)
        check_range("pregenerated_pairs", self.pregenerated_pairs, 0, 10_000_000)
        taken = [name for name in self.wanted if name in ("random", "mel", "supervised")]
        if taken:
            raise InvalidValueError("name taken", where="encoders", allowed="other names than the baselines'", received=taken)
        for where, values in (
            ("probes", self.judges),
            ("proxies", self.proxies),
            ("training_seeds", self.training_seeds),
            ("baselines", self.baselines),
        ):
            if len(set(values)) < len(values):
                raise InvalidValueError("something twice", where=where, allowed="different values", received=list(values))
        if self.supervised_on:
            self.sources.check_sources("supervised_on", self.supervised_on, {}, labels=True)
            if self.dataset.prepare.fold_column or self.dataset.layout:
                hint = "a clip made from one fold's clip would train where that fold is the test; take a table with splits"
                where = "supervised_on"
                raise InvalidValueError(
                    "has folds", where=where, allowed="a dataset with splits", received=list(self.supervised_on), hint=hint
                )
        for name in self.wanted:
            self.training(name)
            self.mixture(name)

    @property
    def judges(self) -> tuple[Judge, ...]:
        """The probes, the dataset's own by its name."""
        found: list[Judge] = []
        for name in self.probes:
            if name != "published":
                found.append(name)
            elif self.dataset.protocol:
                found.append(self.dataset.protocol)
        return tuple(found)

    @property
    def wanted(self) -> dict[str, dict[str, Any]]:
        """The encoders that are not left out."""
        return {name: own for name, own in self.encoders.items() if own is not None}

    def training(self, name: str) -> TrainingSettings:
        """Return an encoder's settings."""
        own = {key: value for key, value in self.wanted[name].items() if key not in (REAL, SOURCES, WEIGHTS)}
        return build(TrainingSettings, {**to_dict(self.train_contrastive), **own}, f"encoders.{name}")

    def real_sounds(self, name: str) -> str:
        """Return the folder of real sounds that an encoder is trained on; empty: synthesised ones."""
        folder = self.wanted[name].get(REAL, "")
        if not isinstance(folder, str):
            raise InvalidValueError("not a folder", where=f"encoders.{name}.{REAL}", allowed="the name of a folder", received=folder)
        return folder

    def mixture(self, name: str) -> tuple[tuple[str, ...], dict[str, float]]:
        """Return the sources that an encoder is trained on, and their weights; none: synthesised sounds, or a folder.

        Raises:
            InvalidValueError: they are no sources, or there is a folder as well.
        """
        own, where = self.wanted[name], f"encoders.{name}"
        names: tuple[str, ...] = coerce(tuple[str, ...], own.get(SOURCES, ()), f"{where}.{SOURCES}")
        weights: dict[str, float] = coerce(dict[str, float], own.get(WEIGHTS, {}), f"{where}.{WEIGHTS}")
        if own.get(REAL) and names:
            raise InvalidValueError("two kinds of clips", where=f"{where}.{SOURCES}", allowed="sources or folder", received=list(names))
        if names or weights:
            self.sources.check_sources(where, names, weights, labels=False)
        return names, weights

    def sounds(self, name: str, pairs: int, seed: int) -> SoundSettings:
        """Return how ``synthesize`` makes the pairs that an encoder hears."""
        training = self.training(name)
        shared = {item.name for item in fields(SoundSettings)} & {item.name for item in fields(TrainingSettings)}
        return replace(SoundSettings(n=pairs, seed=seed), **{key: getattr(training, key) for key in shared})

    @property
    def dataset_probe(self) -> ProbeSettings:
        """The probes' settings on the dataset: its labels, its metric, its validation."""
        settings = self.probe
        if self.dataset.layout in NEXT_FOLD_VALIDATES:
            settings = replace(settings, arch_val_fraction=0.0)
        separator, metric = settings.label_separator or self.dataset.prepare.label_separator, settings.metric or self.dataset.metric
        return replace(settings, label_separator=separator, metric=metric)

    @property
    def supervised(self) -> SupervisedSettings:
        """The supervised network's settings on the dataset."""
        asked = self.dataset_probe
        return replace(
            self.train_supervised, label_separator=asked.label_separator, metric=asked.metric, folds=asked.folds, fold_seed=asked.seed
        )  # fmt: skip
