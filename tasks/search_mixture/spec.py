"""Search an arm's mixing ratio, filter bound and weights of sources for the best validation score of short trainings, with Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError

STAGE = Stage(
    name="search_mixture", environment="train", version=1, memory_mb=2500, time_limit_s=14 * 24 * 3600, cpu_threads=1, uses_gpu=True,
    sharded=True,
)  # fmt: skip

BOUNDS = {"top_share": (0.0, 1.0), "cosine": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "rank": (1.0, 1e6)}
"""Bounds that a rule of the filter knows."""


@dataclass(frozen=True)
class Settings:
    """What is tried, and how often."""

    trials: int = 12
    """Short trainings. The first one is the arm as it would be without a search, so that the choice is never worse on validation."""
    wave: int = 4
    """Trials that are proposed at a time, each from all earlier waves: as many can run at once, and the result is the same for any number
    of devices."""
    startup_trials: int = 6
    """The first trials, at scrambled Sobol points; the others are proposed by TPE."""
    step_share: float = 0.5
    """Steps of a trial, as a share of the arm's own."""
    looks: int = 5
    """Times that a trial is looked at, evenly spaced."""
    pruner: Literal["none", "median"] = "median"
    """``median``: end a trial whose best look is below the median of the finished trials of earlier waves at the same step."""
    pruner_judges: int = 4
    """Finished trials that there must be before one is ended by their median."""
    ratio: tuple[float, float] | None = (0.125, 8.0)
    """Least and most other clips for each gold clip of a batch, tried on a logarithmic scale; none: the arm's ``gold_fraction`` stays. For
    arms with gold clips and others."""
    score: Literal["top_share", "cosine", "sigmoid", "rank"] = "top_share"
    """Rule of the filter whose bound is tried; ``top_share``, the best share of each label by cosine, means the same with every
    checkpoint."""
    threshold: tuple[float, float] | None = (0.2, 1.0)
    """Least and greatest bound of that rule; none: the filter's decision stays. For arms with filtered sources."""
    weights: bool = False
    """Try the weights of the sources among each other too, from 1/8 to 1, for arms with two or more beside gold."""
    seed: int = 0
    """Of the proposals, and of weights and batches of every trial: all trials start alike, and none with the seed of the arm's training
    unless that is the same number."""

    def __post_init__(self) -> None:
        where = "search_mixture"
        for name, low, high in (
            ("trials", 2, 100_000), ("wave", 1, 10_000), ("startup_trials", 1, 100_000), ("looks", 1, 1000), ("pruner_judges", 1, 100_000),
            ("step_share", 1e-6, 10.0), ("seed", 0, 2**31 - 1),
        ):  # fmt: skip
            check_range(f"{where}.{name}", getattr(self, name), low, high)
        low, high = BOUNDS[self.score]
        for name, limits, ends in (("ratio", self.ratio, (1e-3, 1e3)), ("threshold", self.threshold, (low, high))):
            if limits is None:
                continue
            for value in limits:
                check_range(f"{where}.{name}", value, *ends)
            if limits[0] >= limits[1]:
                raise InvalidValueError("no range", where=f"{where}.{name}", allowed="the lower number first", received=list(limits))

    @property
    def waves(self) -> list[tuple[int, int]]:
        """First trial and number of trials of every wave."""
        return [(first, min(self.wave, self.trials - first)) for first in range(0, self.trials, self.wave)]


@dataclass(frozen=True)
class Source:
    """Folders that are one source of the arm."""

    name: str
    """What it is called."""
    folders: tuple[str, ...]
    """Which of the request's ``train`` they are; none of the gold clips."""
    weight: float | None = None
    """Among the other sources, without a search."""
    filtered: bool = False
    """Whether ``clap_filter`` made the folders, so that another bound may be tried without scoring again."""


@dataclass(frozen=True)
class Request:
    """One wave of one arm's search; a search is a chain of them."""

    train: tuple[str, ...]
    """Dataset folders that the arm is trained on, as of ``train_ast``."""
    evaluation: str
    """Folder of the prepared dataset; its validation clips judge, its test clips are not opened."""
    gold: str
    """Folder of the gold clips."""
    arm: str
    """Name of the arm."""
    sources: tuple[Source, ...]
    """The arm's sources beside gold."""
    classifier: dict[str, Any]
    """The arm's settings of ``train_ast``, without ``pretrained`` and ``num_devices``: trials run side by side, each on one device."""
    pretrained: str = external_path(default="")
    """Folder of the checkpoint that the arm starts from."""
    first: int = 0
    """Number of the wave's first trial."""
    shards: int = 4
    """Trials of the wave; each is recorded and resumed by itself."""
    previous: str = ""
    """Folder of the wave before; empty for the first."""
    settings: Settings = Settings()
    """What is tried, and how often."""

    def __post_init__(self) -> None:
        where = "search_mixture"
        check_range(f"{where}.shards", self.shards, 1, 100_000)
        if bool(self.first) != bool(self.previous):
            received = {"first": self.first, "previous": self.previous}
            raise InvalidValueError("broken chain", where=f"{where}.previous", allowed="the wave before, or first 0", received=received)
        if not self.tried:
            hint = "a search needs gold and another source (ratio), a filtered source (threshold), or two sources (weights=true)"
            raise InvalidValueError("nothing to try", where=f"{where} ({self.arm})", received=[one.name for one in self.sources], hint=hint)

    @property
    def tried(self) -> tuple[str, ...]:
        """What the search tries: ``ratio``, ``threshold``, ``weight of SOURCE``."""
        found = ["ratio"] if self.settings.ratio and self.sources and self.gold in self.train else []
        found += ["threshold"] if self.settings.threshold and any(one.filtered for one in self.sources) else []
        found += [f"weight of {one.name}" for one in self.sources] if self.settings.weights and len(self.sources) > 1 else []
        return tuple(found)


@dataclass(frozen=True)
class Result:
    """How the search stands after the wave; ``best.json`` says what was chosen, ``table.csv`` what was tried."""

    arm: str
    """The arm."""
    metric: str
    """``accuracy`` or ``mAP``."""
    trials: int
    """Trials so far."""
    finished: int
    """Of those, came to their end."""
    pruned: int
    """Of those, ended early."""
    best_trial: int
    """Number of the best; 0: what the arm does without a search."""
    val_score: float
    """Its validation score."""
    untuned_val_score: float
    """That of trial 0."""
    gold_fraction: float
    """Chosen share of gold clips."""
    score: str
    """Rule that the bound belongs to; empty: the filter's decision stays."""
    bound: float
    """Chosen bound."""
    weights: dict[str, float]
    """Chosen weights of the sources; empty: every clip has the same chance."""
