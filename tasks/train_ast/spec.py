"""Train AST (Gong et al., 2021) on one arm; the step is selected on validation clips, the test clips are predicted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="train_ast", environment="train", version=1, memory_mb=2000, time_limit_s=48 * 3600, cpu_threads=1, uses_gpu=True)


@dataclass(frozen=True)
class Settings:
    """Model and recipe. Values of 0 or empty take the preset's."""

    preset: Literal["cpu", "paper"] = "cpu"
    """``cpu``: a small AST trained from scratch; ``paper``: base384 with the published recipe."""
    pretrained: str = external_path(default="")
    """Folder of a transformers AST checkpoint to start from; empty: random weights."""
    steps: int = 0
    """Gradient steps, the same for every arm: more data must not mean more training. Preset: cpu 240; paper 50 epochs of the gold set."""
    learning_rate: float = 0.0
    """Peak rate. Preset: cpu 1e-3, paper 1e-5 (1e-4 without pretrained weights)."""
    batch_clips: int = 0
    """Clips per step. Preset: cpu 24, paper 48."""
    gold_fraction: float = 0.5
    """Share of gold clips in a batch when an arm has other sources too."""
    evaluate_every: int = 20
    """Steps between two looks at the validation clips."""
    mixup: float = 0.3
    """Share of the cpu preset's batches that are mixed with another clip of the batch."""
    masked_frames: int = 24
    """Widest time mask of SpecAugment, in frames (cpu preset)."""
    masked_mels: int = 16
    """Widest frequency mask of SpecAugment, in mel bands (cpu preset)."""
    num_devices: int = runtime_setting(default=1)
    """Devices that one training is spread over: GPUs, or processes on a machine without. The engine starts as many ranks with torchrun;
    each works on its part of every batch and the gradients are averaged, so the result is the same within rounding. (One exception: a
    ``pretrained`` checkpoint whose own configuration drops attention weights draws these per rank. AST's published ones do not.)"""

    def __post_init__(self) -> None:
        check_range("train_ast.steps", self.steps, 0, 100_000_000)
        check_range("train_ast.gold_fraction", self.gold_fraction, 0.0, 1.0)
        check_range("train_ast.mixup", self.mixup, 0.0, 1.0)
        check_range("train_ast.evaluate_every", self.evaluate_every, 1, 1_000_000)
        check_range("train_ast.num_devices", self.num_devices, 1, 64)


@dataclass(frozen=True)
class Request:
    """One training."""

    train: tuple[str, ...]
    """Dataset folders to train on, the gold clips first; accepted train clips only."""
    evaluation: str
    """Folder of the prepared dataset, whose validation and test clips are scored."""
    arm: str
    """Name of the arm."""
    seed: int
    """Seed of weights, batches and augmentation."""
    settings: Settings = Settings()
    """Model and recipe."""

    def __post_init__(self) -> None:
        if not self.train:
            raise InvalidValueError("nothing to train on", where="train_ast.train", allowed="at least one folder", received=self.train)


@dataclass(frozen=True)
class Result:
    """How well it did."""

    val_accuracy: float
    """On validation clips, at the selected step."""
    test_accuracy: float
    """On test clips, predicted once with the selected weights."""
    test_macro_f1: float
    """Unweighted mean over classes of the F1 score."""
    best_step: int
    """Selected step."""
    train_clips: int
    """Clips trained on."""
    gold_clips: int
    """Gold clips among them."""
    parameters: int
    """Weights of the model."""
    classes: tuple[str, ...]
    """Labels, sorted; the order of the confusion matrix."""
    confusion: tuple[tuple[int, ...], ...]
    """Test clips by true class (row) and predicted class (column)."""
    per_class_accuracy: dict[str, float]
    """Test recall by class."""
