"""What this room reads of a stage's request and settings: those of ``train_ast``, whose ``spec.py`` explains every field."""

from __future__ import annotations

from typing import Protocol


class Settings(Protocol):
    """Model and recipe."""

    preset: str
    pretrained: str
    steps: int
    learning_rate: float
    batch_clips: int
    gold_fraction: float
    evaluate_every: int
    crop_frames: int
    roll: float
    gain_db: float
    masked_frames: int
    masked_mels: int
    mixup: float
    label_separator: str
    supcon: str
    supcon_steps: int
    supcon_clips: int
    supcon_views: int
    supcon_weight: float
    supcon_temperature: float
    supcon_legacy_schedule: bool
    legacy_rate: bool
    precision: str


class Source(Protocol):
    """One source of clips."""

    name: str
    folders: tuple[str, ...]
    weight: float | None
    filtered: bool


class Request(Protocol):
    """One training."""

    train: tuple[str, ...]
    gold: str
    evaluation: str
    seed: int
    settings: Settings
    sources: tuple[Source, ...]
