"""What a ``doppelgangers`` run can be told; the shape of ``configs/doppelgangers.yaml``. Stage settings are the stages' own dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from core.contract import build, check_range, to_dict
from core.errors import InvalidValueError
from flows.datasets import DEMO, Dataset
from flows.settings import RunSettings
from tasks.embed import spec as embed
from tasks.probe import spec as probe
from tasks.report_probes import spec as report_probes
from tasks.train_contrastive import spec as train_contrastive
from tasks.train_contrastive.spec import Settings as TrainingSettings

Baseline = Literal["random", "mel"]
BASELINES: tuple[Baseline, ...] = ("random", "mel")


@dataclass(frozen=True)
class Config(RunSettings):
    """A whole ``doppelgangers`` run."""

    dataset: Dataset = DEMO
    """The labelled clips that the encoders are probed on; with folds, over the folds."""
    encoders: dict[str, dict[str, Any]] = field(default_factory=lambda: {"doppelgangers": {}})
    """What is trained, by name: settings of ``train_contrastive`` that differ, such as ``{delta 0.05: {delta: 0.05}}``."""
    training_seeds: tuple[int, ...] = (1,)
    """One training per encoder and seed."""
    baselines: tuple[Baseline, ...] = BASELINES
    """``random``: the first encoder's network with its first weights, one per seed; ``mel``: mean and deviation of each mel band."""
    probes: tuple[Literal["linear", "arch", "hear", "knn"], ...] = ("linear", "knn")
    """What the frozen embeddings are judged by; the first one makes the headline."""
    train_contrastive: train_contrastive.Settings = field(default_factory=train_contrastive.Settings)
    embed: embed.Settings = field(default_factory=embed.Settings)
    probe: probe.Settings = field(default_factory=probe.Settings)
    report_probes: report_probes.Settings = field(default_factory=report_probes.Settings)
    shards: int = 4
    """Parts that embedding is cut into; each is recorded and resumed by itself."""

    def __post_init__(self) -> None:
        check_range("shards", self.shards, 1, 10_000)
        if not (self.probes and self.training_seeds and (self.encoders or "mel" in self.baselines)):
            where = "encoders, training_seeds, probes"
            raise InvalidValueError("empty", where=where, allowed="at least one of each", received=())
        if "random" in self.baselines and not self.encoders:
            hint = "baselines=[mel], or name an encoder"
            raise InvalidValueError("has no network", where="baselines", allowed=("mel",), received=list(self.baselines), hint=hint)
        taken = [name for name in self.encoders if name in BASELINES]
        if taken:
            raise InvalidValueError("name taken", where="encoders", allowed="other names than the baselines'", received=taken)
        for where, values in (("probes", self.probes), ("training_seeds", self.training_seeds), ("baselines", self.baselines)):
            if len(set(values)) < len(values):
                raise InvalidValueError("something twice", where=where, allowed="different values", received=list(values))
        for name in self.encoders:
            self.training(name)

    def training(self, name: str) -> TrainingSettings:
        """Return an encoder's settings."""
        return build(TrainingSettings, {**to_dict(self.train_contrastive), **self.encoders[name]}, f"encoders.{name}")
