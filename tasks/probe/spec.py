"""Score frozen embeddings by a probe: a linear one, HEAR's small networks or the nearest neighbours, over folds or over one split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError

STAGE = Stage(name="probe", environment="train", version=1, memory_mb=1000, time_limit_s=6 * 3600, cpu_threads=1)


@dataclass(frozen=True)
class Settings:
    """Folds, target and the probes' numbers; those of other probes are not looked at."""

    folds: Literal["auto", "fold", "split", "drawn"] = "auto"
    """``fold``: each value of the manifest's fold is the test once, the next one validates, the others train. ``split``: train, val and
    test as they are. ``auto``: fold where there are three or more, else split. ``drawn``: five folds by clip id, for clips with neither."""
    target: str = "label"
    """What is to be told: ``label``, or a place in the clips' ``parameters`` (``unit``, ``pitch.hz``) that holds a number or a list of
    numbers; then by regression (linear: ridge, knn: means), scored by R²."""
    label_separator: Literal["", ";", ","] = ""
    """What separates the labels of one clip. Empty: one label each, accuracy. Otherwise mean average precision."""
    metric: Literal["", "accuracy", "mAP"] = ""
    """What is scored. Empty: accuracy of one label a clip, mean average precision of several. HEAR scores Vocal Imitation, which has one
    label a clip, by mAP."""
    standardize: bool = True
    """Bring every dimension to mean 0 and deviation 1 of the training clips first; the protocols arch and hear never do."""
    seed: int = 0
    """Of the probes' weights, batches and grid."""
    refit: bool = True
    """linear, knn: after the choice, fit again on training and validation clips."""
    linear_penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
    """linear: values of C, the inverse strength of the L2 penalty; chosen by the validation score (ties: the strongest penalty)."""
    neighbours: tuple[int, ...] = (1, 3, 5, 10, 20)
    """knn: numbers of neighbours to choose among, by cosine."""
    arch_epochs: int = 100
    """arch: passes; the weights of the lowest validation loss count. Published: 100 for ESC-50."""
    arch_batch: int = 32
    """arch: clips per step."""
    arch_rate: float = 1e-3
    """arch: AdamW's rate, times 0.95 after every pass."""
    arch_val_fraction: float = 0.2
    """arch: share of the training folds' clips that validates, drawn as published; 0: the next fold validates,
    as published for VIVAE. With a split: its validation clips."""
    hear_grid_points: int = 8
    """hear: settings drawn from the grid of 16: 1 or 2 layers, four rates, two initial weights."""
    hear_rates: tuple[float, ...] = (3.2e-3, 1e-3, 3.2e-4, 1e-4)
    """hear: Adam's rates in the grid."""
    hear_width: int = 1024
    """hear: units of a layer."""
    hear_dropout: float = 0.1
    """hear: share of units left out."""
    hear_batch: int = 1024
    """hear: clips per step."""
    hear_epochs: int = 500
    """hear: most passes."""
    hear_check_epochs: int = 3
    """hear: passes between two looks at the validation clips."""
    hear_patience: int = 20
    """hear: looks without a better score after which it ends."""

    def __post_init__(self) -> None:
        check_range("probe.seed", self.seed, 0, 2**31 - 1)
        for name in ("arch_epochs", "arch_batch", "hear_grid_points", "hear_width", "hear_epochs", "hear_check_epochs", "hear_patience"):
            check_range(f"probe.{name}", getattr(self, name), 1, 1_000_000)
        check_range("probe.hear_batch", self.hear_batch, 2, 1_000_000)
        check_range("probe.hear_dropout", self.hear_dropout, 0.0, 0.95)
        check_range("probe.arch_rate", self.arch_rate, 1e-9, 10.0)
        check_range("probe.arch_val_fraction", self.arch_val_fraction, 0.0, 0.9)
        for name, low, high in (("linear_penalties", 1e-9, 1e9), ("hear_rates", 1e-9, 10.0), ("neighbours", 1, 1_000_000)):
            values = getattr(self, name)
            if not values:
                raise InvalidValueError("nothing to choose from", where=f"probe.{name}", allowed="at least one value", received=values)
            for value in values:
                check_range(f"probe.{name}", value, low, high)


@dataclass(frozen=True)
class Request:
    """One set of embeddings and one probe."""

    embeddings: str
    """Folder of embed. Baselines are other embeddings: encoder random, or mel."""
    probe: Literal["linear", "arch", "hear", "knn"] = "linear"
    """``linear``: logistic regression, C chosen on validation clips. ``arch``: ARCH's linear layer (La Quatra et al., 2024). ``hear``:
    HEAR's networks of one or two layers (Turian et al., 2022). ``knn``: the labels of the nearest clips by cosine."""
    settings: Settings = Settings()
    """Folds, target and the probes' numbers."""

    def __post_init__(self) -> None:
        if self.settings.target != "label" and self.probe in ("arch", "hear"):
            raise InvalidValueError(
                "names labels only", where="probe.target", allowed="label; or probe linear or knn", received=self.settings.target
            )


@dataclass(frozen=True)
class Result:
    """How well the probe did on test clips, each predicted once by a probe that was neither trained nor chosen on it."""

    metric: str
    """``accuracy``; ``mAP``, the unweighted mean over the classes of average precision; or ``R2``, the mean over the numbers of R²."""
    score: float
    """Mean over the folds; with a split: on the test clips."""
    fold_scores: dict[str, float]
    """Score of each test fold; with a split: ``test``."""
    interval: tuple[float, float] | None
    """95 % Student interval of the mean over folds; None for one."""
    val_score: float
    """Mean over the folds of the chosen probe's validation score."""
    chosen: dict[str, str]
    """By fold, what was chosen on validation clips: C, neighbours, the pass, or the network."""
    chance: float
    """Score of always naming the most frequent training label; for mAP the mean share of clips that have a label; for R² 0."""
    clips: int
    """Test clips predicted."""
    heard: int
    """Test clips among them that the encoder was trained on."""
    classes: tuple[str, ...]
    """Labels, sorted; or what the numbers are called."""
    per_class_score: dict[str, float]
    """Recall of each label over all test clips; for mAP and R2 its own score, mean over the folds that have one."""
