"""What a ``synthio`` run can be told; the shape of ``configs/synthio.yaml``. Stage settings are the stages' own dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from core.contract import build, check_range, to_dict
from core.errors import InvalidValueError
from flows.datasets import DEMO, Dataset
from flows.settings import RunSettings
from flows.source_settings import GOLD, SourceSettings
from tasks.measure_synthetic import spec as measure_synthetic
from tasks.report import spec as report
from tasks.search_mixture.spec import Settings as SearchSettings
from tasks.stratify import spec as stratify
from tasks.train_ast import spec as train_ast
from tasks.train_ast.spec import Settings as ClassifierSettings


@dataclass(frozen=True)
class Arm:
    """One way to train the classifier; the arms are compared with each other."""

    name: str
    """Shown in the table."""
    sources: tuple[str, ...]
    """``gold`` and names of generators, augmenters, rooms, retrievals and pools: what the classifier is trained on."""
    train_ast: dict[str, Any] = field(default_factory=dict)
    """Settings of the classifier that differ for this arm, such as ``masked_frames`` for SpecAugment."""
    weights: dict[str, float] = field(default_factory=dict)
    """Weights of sources beside gold among each other, such as ``{synthio: 2, spatial: 1}``; one without has 1. Empty: by their clips."""
    tune: SearchSettings | None = None
    """Search the share of gold clips, the filter's bound and, if wanted, the weights first, on validation clips: once for each draw, since
    its clips are what is mixed (and with ``turn_folds`` its validation clips another draw's test), for all training seeds alike."""


@dataclass(frozen=True)
class Config(RunSettings, SourceSettings):
    """A whole ``synthio`` run."""

    dataset: Dataset = DEMO
    """The labelled clips."""
    num_samples: int | tuple[int, ...] = 50
    """Size of the gold subset drawn from the train split, or several: the study is then made for each."""
    draw_seed: int | tuple[int, ...] = 0
    """Seed of the draw, or several draws; the table averages over them."""
    turn_folds: bool = False
    """Cross-validation: draw d has the folds of ``dataset.prepare`` turned on by d places, so that as many draws as folds let every fold
    test once, and every clip of the dataset judges."""
    turn_held_out: bool = False
    """The same for the validation and test folds alone: the train folds stay, and the others validate and test in turn. For studies whose
    settings were found on the train folds, which may then test nothing."""
    training_seeds: tuple[int, ...] = (1, 2)
    """One training per arm, draw and seed."""
    shards: int = 4
    """Parts that generation and filtering are cut into; each is recorded and resumed by itself."""
    measures: bool = True
    """Whether the generated sets are measured: Fréchet distance, diversity, near-duplicates, leaks (first draw of each size)."""
    arms: tuple[Arm, ...] = (
        Arm("gold only", (GOLD,)), Arm("SpecAugment", (GOLD,), {"masked_frames": 96, "masked_mels": 24}),
        Arm("vanilla", (GOLD, "vanilla")), Arm("Synthio", (GOLD, "synthio")),
    )  # fmt: skip
    """What is compared; the first arm is what the others are measured against."""
    stratify: stratify.Settings = field(default_factory=stratify.Settings)
    measure_synthetic: measure_synthetic.Settings = field(default_factory=measure_synthetic.Settings)
    train_ast: train_ast.Settings = field(default_factory=train_ast.Settings)
    report: report.Settings = field(default_factory=report.Settings)
    export_to: str = ""
    """Folder that the accepted synthetic clips are copied to as an audio folder; the store keeps its own."""
    export_csv: str = ""
    """Folder that the table of all clips is copied to."""
    keep_models_in: str = ""
    """Folder that the aligned models are copied to, as DATASET_N.safetensors."""

    def __post_init__(self) -> None:
        for size in self.sizes:
            check_range("num_samples", size, 1, 10_000_000)
        check_range("shards", self.shards, 1, 10_000)
        if not (self.arms and self.training_seeds and self.sizes and self.draws):
            raise InvalidValueError(
                "empty", where="arms, training_seeds, num_samples, draw_seed", allowed="at least one of each", received=()
            )
        if self.turn_folds and self.turn_held_out:
            raise InvalidValueError("turned twice", where="turn_held_out", allowed="one of turn_folds, turn_held_out", received=True)
        turned = "turn_held_out" if self.turn_held_out else "turn_folds" if self.turn_folds else ""
        if turned and not self.dataset.prepare.fold_column:
            hint = "set dataset.prepare.fold_column, train_folds, val_folds and test_folds"
            raise InvalidValueError("nothing to turn", where=turned, allowed="a dataset with folds", received=True, hint=hint)
        SourceSettings.__post_init__(self)
        self._check_arms()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The subset sizes, one or more."""
        return (self.num_samples,) if isinstance(self.num_samples, int) else self.num_samples

    @property
    def draws(self) -> tuple[int, ...]:
        """The seeds of the draws, one or more."""
        return (self.draw_seed,) if isinstance(self.draw_seed, int) else self.draw_seed

    def dataset_of(self, draw: int) -> Dataset:
        """Return the dataset as a draw sees it: with ``turn_folds`` or ``turn_held_out`` every draw has other folds to test."""
        settings = self.dataset.prepare
        if not (self.turn_folds or self.turn_held_out):
            return self.dataset
        fixed = settings.train_folds if self.turn_held_out else ()
        folds = [*(() if fixed else settings.train_folds), *settings.val_folds, *settings.test_folds]
        places = draw % len(folds)
        turned = [*fixed, *folds[places:], *folds[:places]]
        train, val = len(settings.train_folds), len(settings.train_folds) + len(settings.val_folds)
        changed = replace(settings, train_folds=tuple(turned[:train]), val_folds=tuple(turned[train:val]), test_folds=tuple(turned[val:]))
        return replace(self.dataset, prepare=changed)

    def classifier(self, arm: Arm) -> ClassifierSettings:
        """Return the classifier's settings for an arm."""
        return build(ClassifierSettings, {**to_dict(self.train_ast), **arm.train_ast}, f"arms.{arm.name}.train_ast")

    def _check_arms(self) -> None:
        """Refuse arms whose sources nobody makes, and names that mean two things."""
        for arm in self.arms:
            self.check_sources(f"arms.{arm.name}", arm.sources, arm.weights, labels=True)
            if GOLD in arm.weights:
                hint = "train_ast.gold_fraction is the share of gold clips"
                raise InvalidValueError("gold has no weight", where=f"arms.{arm.name}.weights", received=arm.weights, hint=hint)
            self.classifier(arm)
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise InvalidValueError("two arms have one name", where="arms", allowed="different names", received=names)
