"""The two presets: a small AST for the CPU, and the paper's. All their numbers are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.ast_classifier.asked import Settings
from tasks.ast_classifier.augmentation import Augmentation

DECAY, FLAT_EPOCHS = 0.85, 5
"""The paper's schedule: ×0.85 an epoch from epoch 5 on."""


@dataclass(frozen=True)
class Preset:
    """Everything that the two presets decide differently."""

    hidden_size: int
    layers: int
    heads: int
    mlp_size: int
    dropout: float
    """Behind the embedding, attention and MLP."""
    frequency_stride: int
    """Mels between two patches of 16 × 16."""
    time_stride: int
    """Frames between two patches."""
    crop_frames: int
    """Frames of a training stretch; 0: whole clips."""
    steps: int
    """Gradient steps; 0: counted in epochs."""
    epochs: int
    batch_clips: int
    learning_rate: float
    pretrained_rate: float
    """Learning rate with pretrained weights."""
    weight_decay: float
    decoupled_decay: bool
    """AdamW instead of Adam with L2 regularisation."""
    betas: tuple[float, float]
    label_smoothing: float
    """Of cross-entropy; multi-label has none."""
    ema_decay: float
    """Decay of the averaged weights, which are what is validated and kept; 0: the weights as they are."""
    schedule: Literal["linear", "decay"]
    """``linear``: warm-up and linear decay; ``decay``: the paper's."""
    supcon_steps: int
    """Gradient steps of the contrastive stage; 0: counted in epochs."""
    supcon_epochs: int
    supcon_clips: int
    """Gold clips of a contrastive step."""
    supcon_masks: tuple[int, int]
    """Widest time and frequency mask of the contrastive stage, where the settings have none."""
    after_supcon_masks: tuple[int, int]
    """The same, of the classifier's training behind it."""


CPU = Preset(
    hidden_size=128, layers=3, heads=4, mlp_size=384, dropout=0.1, frequency_stride=16, time_stride=16, crop_frames=0,
    steps=600, epochs=0, batch_clips=16, learning_rate=1e-3, pretrained_rate=1e-3, weight_decay=0.05, decoupled_decay=True,
    betas=(0.9, 0.98),
    label_smoothing=0.1, ema_decay=0.98, schedule="linear",
    supcon_steps=120, supcon_epochs=0, supcon_clips=6, supcon_masks=(24, 16), after_supcon_masks=(0, 0),
)  # fmt: skip
PAPER = Preset(
    hidden_size=768, layers=12, heads=12, mlp_size=3072, dropout=0.0, frequency_stride=10, time_stride=10, crop_frames=0,
    steps=0, epochs=50, batch_clips=48, learning_rate=1e-4, pretrained_rate=1e-5, weight_decay=5e-7, decoupled_decay=False,
    betas=(0.95, 0.999),
    label_smoothing=0.0, ema_decay=0.0, schedule="decay",
    supcon_steps=0, supcon_epochs=100, supcon_clips=24, supcon_masks=(96, 24), after_supcon_masks=(96, 24),
)  # fmt: skip
PRESETS = {"cpu": CPU, "paper": PAPER}


@dataclass(frozen=True)
class Pace:
    """How one optimisation runs."""

    steps: int
    batch_clips: int
    """Clips of a step; in the contrastive stage gold clips, before views are made of them."""
    learning_rate: float
    weight_decay: float
    decoupled_decay: bool
    betas: tuple[float, float]
    schedule: Literal["linear", "decay"]
    steps_per_epoch: int
    """Steps between two reductions of the rate in the schedule ``decay``."""

    def rate(self, step: int) -> float:
        """Return the learning rate at a step."""
        if self.schedule == "linear":
            warm = min(1.0, (step + 1) / max(1, round(0.1 * self.steps)))
            return self.learning_rate * warm * max(0.02, 1 - step / self.steps)
        return float(self.learning_rate * DECAY ** max(0, step // self.steps_per_epoch - FLAT_EPOCHS + 1))


@dataclass(frozen=True)
class Recipe(Pace):
    """How the classifier is trained."""

    label_smoothing: float
    ema_decay: float
    augmentation: Augmentation
    mixup: float


def recipe(settings: Settings, gold_clips: int) -> Recipe:
    """Return how the classifier is trained: the preset's values where the settings leave 0."""
    preset = PRESETS[settings.preset]
    batch = settings.batch_clips or preset.batch_clips
    epoch = -(-gold_clips // batch)
    return Recipe(
        steps=settings.steps or preset.steps or preset.epochs * epoch, batch_clips=batch, learning_rate=_peak(settings, preset),
        weight_decay=preset.weight_decay, decoupled_decay=preset.decoupled_decay,
        betas=preset.betas, schedule=preset.schedule, steps_per_epoch=epoch,
        label_smoothing=0.0 if settings.label_separator else preset.label_smoothing, ema_decay=preset.ema_decay,
        augmentation=_augmentation(settings, preset.after_supcon_masks if settings.supcon == "two_stage" else (0, 0)),
        mixup=settings.mixup,
    )  # fmt: skip


def contrastive_recipe(settings: Settings, gold_clips: int) -> tuple[Pace, Augmentation]:
    """Return how the contrastive stage runs, and how its views are altered.

    The published script lowers the rate every step (``supcon_legacy_schedule``), which after 50 steps leaves 3e-4 of it.
    """
    preset = PRESETS[settings.preset]
    batch = settings.supcon_clips or preset.supcon_clips
    epoch = -(-gold_clips // batch)
    pace = Pace(
        steps=settings.supcon_steps or preset.supcon_steps or preset.supcon_epochs * epoch, batch_clips=batch,
        learning_rate=_peak(settings, preset), weight_decay=preset.weight_decay, decoupled_decay=preset.decoupled_decay, betas=preset.betas,
        schedule="decay" if settings.supcon_legacy_schedule else preset.schedule,
        steps_per_epoch=1 if settings.supcon_legacy_schedule else epoch,
    )  # fmt: skip
    return pace, _augmentation(settings, preset.supcon_masks)


def crop(settings: Settings, target_frames: int) -> int:
    """Return how many frames the model sees at once: those of a stretch, or of the whole clip."""
    return min(settings.crop_frames or PRESETS[settings.preset].crop_frames or target_frames, target_frames)


def _peak(settings: Settings, preset: Preset) -> float:
    return settings.learning_rate or (preset.pretrained_rate if settings.pretrained else preset.learning_rate)


def _augmentation(settings: Settings, masks: tuple[int, int]) -> Augmentation:
    return Augmentation(settings.roll, settings.gain_db, settings.masked_frames or masks[0], settings.masked_mels or masks[1])
