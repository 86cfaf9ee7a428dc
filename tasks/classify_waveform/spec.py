"""Train a small 1-D network to name a clip's waveform: a check that the grid's timbre can be told apart at all."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.contract import Stage, check_range

STAGE = Stage(name="classify_waveform", environment="train", version=1, memory_mb=2500, time_limit_s=12 * 3600, uses_gpu=True)


@dataclass(frozen=True)
class Settings:
    """How to train."""

    steps: int = 400
    """Gradient steps."""
    batch_clips: int = 32
    """Clips per step."""
    learning_rate: float = 1e-3
    """Adam's (with amsgrad, as published), constant."""
    window_s: float = 0.25
    """How much of a clip is looked at, from its beginning; 0: all of it, as published."""
    evaluate_every: int = 50
    """Steps between two looks at the validation clips; the weights of the best look are kept."""

    def __post_init__(self) -> None:
        where = "classify_waveform"
        check_range(f"{where}.steps", self.steps, 1, 10_000_000)
        check_range(f"{where}.batch_clips", self.batch_clips, 1, 100_000)
        check_range(f"{where}.learning_rate", self.learning_rate, 1e-8, 1.0)
        check_range(f"{where}.window_s", self.window_s, 0.0, 600.0)
        check_range(f"{where}.evaluate_every", self.evaluate_every, 1, 10_000_000)


@dataclass(frozen=True)
class Request:
    """One classifier."""

    grid: str
    """Folder of the grid, whose sounds are classified."""
    features: str
    """Folder of its features, whose split is used."""
    seed: int = 1
    """Of weights and batches."""
    settings: Settings = field(default_factory=Settings)
    """How to train."""


@dataclass(frozen=True)
class Result:
    """How well it tells the waveforms apart."""

    val_accuracy: float
    """On the validation clips, at the selected step."""
    test_accuracy: float
    """On the test clips, predicted once."""
    test_accuracy_by_waveform: dict[str, float]
    """Share of a waveform's test clips that were named rightly."""
    best_step: int
    """Selected step, by validation accuracy, then validation loss."""
    parameters: int
    """Weights of the network."""
    train_clips: int
    """Clips it was trained on."""
