"""Train AST (Gong et al., 2021) on one arm; the step is selected on validation clips, the test clips are predicted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="train_ast", environment="train", version=1, memory_mb=2000, time_limit_s=48 * 3600, cpu_threads=1, uses_gpu=True)
PATCH_FRAMES = 16
"""Frames of one patch of the transformer: the shortest stretch it can see."""


@dataclass(frozen=True)
class Settings:
    """Model and recipe. Where 0 or empty means the preset's value, the field says so; the numbers are in ``recipe.py``."""

    preset: Literal["cpu", "paper"] = "cpu"
    """``cpu``: a small AST trained from scratch; ``paper``: base384 with the published recipe."""
    pretrained: str = external_path(default="")
    """Folder of a transformers AST checkpoint to start from; empty: random weights. Its position embedding is cut or stretched in time
    to the clips' length, as in the published AST."""
    steps: int = 0
    """Gradient steps, the same for every arm: more data must not mean more training. 0: the preset's (paper: 50 epochs of the gold set)."""
    learning_rate: float = 0.0
    """Peak rate. 0: the preset's (paper 1e-5, 1e-4 without pretrained weights)."""
    batch_clips: int = 0
    """Clips per step. 0: the preset's (paper 48)."""
    gold_fraction: float = 0.5
    """Share of gold clips in a batch when an arm has gold clips and other sources; ignored otherwise."""
    evaluate_every: int = 50
    """Steps between two looks at the validation clips."""
    crop_frames: int = 0
    """Train on random stretches of so many frames (10 ms each) and average predictions over half-overlapping windows. 0: the preset's; a
    number not below the clips' length: whole clips."""
    roll: float = 0.0
    """Augmentation: largest circular shift in time, either way, as a share of the length; 0: off."""
    gain_db: float = 0.0
    """Augmentation: largest change of level, either way, in dB; 0: off."""
    masked_frames: int = 0
    """Augmentation: widest time mask of SpecAugment (Park et al., 2019) in frames; 0: off. AST's published value: 96."""
    masked_mels: int = 0
    """Augmentation: widest frequency mask of SpecAugment in mel bands; 0: off. AST's published value: 24."""
    mixup: float = 0.0
    """Augmentation: share of batches whose clips are mixed with another of the batch (Zhang et al., 2018); 0: off."""
    label_separator: Literal["", ";", ","] = ""
    """What separates the labels of one clip. Empty: one label a clip (cross-entropy, accuracy). Otherwise multi-label: binary
    cross-entropy on sigmoids, mean average precision."""
    supcon: Literal["off", "two_stage", "joint"] = "off"
    """Supervised contrastive learning (Khosla et al., 2020). ``two_stage``: first, then the classifier from its encoder; ``joint``:
    both losses on the same batch."""
    supcon_steps: int = 0
    """Gradient steps of the contrastive stage (two_stage). 0: the preset's (paper: 100 epochs of the gold set)."""
    supcon_clips: int = 0
    """Gold clips per contrastive step, each in ``supcon_views`` views. 0: the preset's (paper 24)."""
    supcon_views: int = 4
    """Views of a gold clip: itself, clips generated from it, and, where those are fewer, the same again, augmented."""
    supcon_weight: float = 0.5
    """Weight of the contrastive loss beside the classifier's (joint)."""
    supcon_temperature: float = 0.1
    """What the cosines are divided by."""
    supcon_legacy_schedule: bool = False
    """Lower the contrastive stage's rate every step instead of every epoch, as Synthio's published script does: it then hardly trains."""
    legacy_rate: bool = False
    """Hand the file's old sample rate to the filter bank after resampling, as Synthio's published front end does: clips that are not at
    16 kHz then get too few frames and a wrong mel axis. For comparison only; the result names it."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the encoder's layers (torch's autocast); weights, losses and optimizer stay float32."""
    num_devices: int = runtime_setting(default=1)
    """Devices that one training is spread over: GPUs, or processes on a machine without. The engine starts as many ranks with torchrun;
    each works on its part of every batch and the gradients are averaged, so the result is the same within rounding. (One exception: a
    ``pretrained`` checkpoint whose own configuration drops attention weights draws these per rank. AST's published ones do not.)"""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_clips", "supcon_steps", "supcon_clips", "crop_frames", "masked_frames"):
            check_range(f"train_ast.{name}", getattr(self, name), 0, 100_000_000)
        for name in ("gold_fraction", "mixup", "roll"):
            check_range(f"train_ast.{name}", getattr(self, name), 0.0, 1.0)
        check_range("train_ast.gain_db", self.gain_db, 0.0, 60.0)
        check_range("train_ast.masked_mels", self.masked_mels, 0, 128)
        check_range("train_ast.learning_rate", self.learning_rate, 0.0, 10.0)
        check_range("train_ast.evaluate_every", self.evaluate_every, 1, 1_000_000)
        check_range("train_ast.supcon_views", self.supcon_views, 2, 64)
        check_range("train_ast.supcon_weight", self.supcon_weight, 0.0, 1000.0)
        check_range("train_ast.supcon_temperature", self.supcon_temperature, 1e-3, 100.0)
        check_range("train_ast.num_devices", self.num_devices, 1, 64)
        if 0 < self.crop_frames < PATCH_FRAMES:
            allowed = f"0, or at least the {PATCH_FRAMES} frames of a patch"
            raise InvalidValueError("too short", where="train_ast.crop_frames", allowed=allowed, received=self.crop_frames)
        if self.supcon == "joint" and self.mixup:
            hint = "a mixed clip is no view of one class: use two_stage, whose contrastive stage does not mix"
            raise InvalidValueError("joint SupCon cannot mix", where="train_ast.mixup", allowed=0, received=self.mixup, hint=hint)


@dataclass(frozen=True)
class Source:
    """Folders that are one source of an arm, such as the rounds of one generator."""

    name: str
    """What it is called."""
    folders: tuple[str, ...]
    """Which of the request's ``train`` they are; none of the gold clips."""
    weight: float | None = None
    """Among the places of a batch that are not gold's, by source, not by clip; as soon as one source has a weight, others have 1. None
    anywhere: every clip has the same chance."""
    filtered: bool = False
    """Whether ``clap_filter`` made the folders, so that a search may choose another bound."""

    def __post_init__(self) -> None:
        if self.weight is not None:
            check_range(f"train_ast.sources.{self.name}.weight", self.weight, 0.0, 1e6)


@dataclass(frozen=True)
class Request:
    """One training."""

    train: tuple[str, ...]
    """Dataset folders to train on; accepted train clips only."""
    evaluation: str
    """Folder of the prepared dataset, whose validation and test clips are scored."""
    seed: int
    """Seed of weights, batches and augmentation."""
    settings: Settings = Settings()
    """Model and recipe."""
    gold: str = ""
    """Folder of the gold clips, which decide the classes, the clips' length and the paper preset's epochs. Empty: the first of ``train``.
    They are trained on only when the folder is among ``train``: without it the arm is synthetic only."""
    sources: tuple[Source, ...] = ()
    """Which folders are one source, for weights and for ``choice``."""
    choice: str = ""
    """Folder of ``search_mixture``, whose share of gold clips, weights and bound are taken instead of the settings' and the filter's."""
    arm: str = runtime_setting(default="")
    """Name of the arm. Another name for the same clips and settings is the same training."""

    def __post_init__(self) -> None:
        if not self.train:
            raise InvalidValueError("nothing to train on", where="train_ast.train", allowed="at least one folder", received=self.train)
        stray = sorted({folder for source in self.sources for folder in source.folders} - set(self.train))
        if stray:
            raise InvalidValueError("not trained on", where="train_ast.sources", allowed=self.train, received=stray)


@dataclass(frozen=True)
class Result:
    """How well it did."""

    val_accuracy: float
    """On validation clips, at the selected step; multi-label: share of clips whose labels are all right, and no others, at 0.5."""
    test_accuracy: float
    """On test clips, predicted once with the selected weights; multi-label as for validation."""
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
    """Test clips by true class (row) and predicted class (column); empty for multi-label."""
    per_class_accuracy: dict[str, float]
    """Test recall by class."""
    metric: str = "accuracy"
    """What the step was selected by: ``accuracy``, or ``mAP``, the unweighted mean of the classes' average precision."""
    val_score: float = 0.0
    """The metric on validation clips, at the selected step."""
    test_score: float = 0.0
    """The metric on test clips."""
    per_class_score: dict[str, float] | None = None
    """Test score of each class: F1 for accuracy, average precision for mAP (classes without a test clip are left out)."""
    mixture: dict[str, Any] | None = None
    """What was mixed how: ``gold_fraction``, ``weights`` by source, and where a search chose it, ``score`` and ``bound`` of the filter."""
    faults: tuple[str, ...] = ()
    """Published faults that were reproduced on request; such a result is for comparison only."""
