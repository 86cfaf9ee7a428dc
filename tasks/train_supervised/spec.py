"""Train the contrastive encoder's network with labels from scratch, fold by fold: the supervised baseline of frozen encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range

STAGE = Stage(name="train_supervised", environment="train", version=1, memory_mb=4000, time_limit_s=48 * 3600, cpu_threads=1, uses_gpu=True)


@dataclass(frozen=True)
class Settings:
    """Network, recipe, and what is scored on which folds; folds, separator and metric as of ``probe``."""

    front_end: Literal["vggish", "simple"] = "vggish"
    """Features: VGGish's log-mel, or torchaudio's defaults."""
    sample_rate_hz: int = 16000
    """Rate that clips are brought to; vggish takes 16000 only."""
    width: int = 32
    """Channels of the network's first layer."""
    passes: int = 60
    """How often every training clip is seen, each time at another place."""
    batch_clips: int = 32
    """Clips per step."""
    learning_rate: float = 1e-3
    """AdamW's highest; warm-up over 3 % of the steps, then a cosine."""
    weight_decay: float = 1e-2
    """AdamW's."""
    look_passes: int = 5
    """Passes between two looks at the validation clips; the weights of the best look count."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Number format of the network's layers."""
    folds: Literal["auto", "fold", "split", "drawn"] = "auto"
    """Which clips train, validate and test."""
    fold_seed: int = 0
    """Of drawn folds."""
    label_separator: Literal["", ";", ","] = ""
    """What separates the labels of one clip; empty: one label each."""
    metric: Literal["", "accuracy", "mAP"] = ""
    """What is scored; empty: accuracy of one label, mean average precision of several."""

    def __post_init__(self) -> None:
        where = "train_supervised"
        check_range(f"{where}.sample_rate_hz", self.sample_rate_hz, 1000, 192_000)
        check_range(f"{where}.width", self.width, 1, 1024)
        for name in ("passes", "look_passes"):
            check_range(f"{where}.{name}", getattr(self, name), 1, 1_000_000)
        check_range(f"{where}.batch_clips", self.batch_clips, 2, 1_000_000)
        check_range(f"{where}.learning_rate", self.learning_rate, 1e-9, 10.0)
        check_range(f"{where}.weight_decay", self.weight_decay, 0.0, 10.0)
        check_range(f"{where}.fold_seed", self.fold_seed, 0, 2**31 - 1)


@dataclass(frozen=True)
class Request:
    """One dataset and one seed."""

    clips: str
    """Folder of the manifest."""
    seed: int = 0
    """Of weights, order and places."""
    settings: Settings = Settings()
    """Network, recipe and folds."""

    def __post_init__(self) -> None:
        check_range("train_supervised.seed", self.seed, 0, 2**21)


@dataclass(frozen=True)
class Result:
    """Scores by fold, with the names that ``probe`` has for them."""

    metric: str
    """``accuracy`` or ``mAP``."""
    score: float
    """Mean over the folds."""
    fold_scores: dict[str, float]
    """Score of each test fold; with a split: ``test``."""
    val_score: float
    """Mean over the folds of the best look at validation clips."""
    chosen: dict[str, str]
    """By fold, the pass of the best look."""
    chance: float
    """Score of always naming the most frequent training label; for mAP the mean share of clips that have a label."""
    clips: int
    """Test clips predicted."""
    heard: int
    """Always 0: no network is tested on a clip that it was trained on."""
    weights: int
    """Weights of one network, its last layer included."""
    per_class_score: dict[str, float]
    """Recall of each label over all test clips; for mAP its own score, mean over the folds."""
