"""How long, how large, how fast: a training's settings resolved for one synthesiser."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tasks.preset_encoders.schedules import Plateau
from tasks.sound_matching.decoding import Relaxation
from tasks.sound_matching.estimator import CHANNELS, DROPOUT, MIXED
from tasks.sound_matching.losses import CATEGORY_WEIGHT, PROXY_WEIGHT, Schedule


@dataclass(frozen=True)
class Plan:
    """What a training does."""

    rows: int
    """Training sounds."""
    schedule: Schedule = "mix"
    audio_first: bool = False
    relaxation: Relaxation = "soft"
    proxy_weight: float = PROXY_WEIGHT
    category_weight: float = CATEGORY_WEIGHT
    smoothing: float = 0.02
    channels: tuple[int, ...] = CHANNELS
    mixed: int = MIXED
    dropout: float = DROPOUT
    epochs: int = 600
    batch_sounds: int = 64
    learning_rate: float = 7e-3
    betas: tuple[float, float] = (0.86, 0.98)
    weight_decay: float = 0.01
    warm_up_share: float = 0.01
    plateau_factor: float = 0.5
    plateau_patience: int = 5
    look_epochs: int = 10
    val_sounds: int = 256

    @property
    def batch(self) -> int:
        """Sounds per step."""
        return min(self.batch_sounds, self.rows)

    @property
    def epoch_steps(self) -> int:
        """Steps of one epoch; sounds that fill no batch wait for another epoch's order."""
        return self.rows // self.batch

    @property
    def steps(self) -> int:
        """Gradient steps."""
        return self.epochs * self.epoch_steps

    def looks_at(self, done: int) -> bool:
        """Whether validation sounds are looked at after ``done`` steps."""
        epoch, left = divmod(done, self.epoch_steps)
        return not left and (epoch % self.look_epochs == 0 or epoch == self.epochs)

    def plateau(self) -> Plateau:
        """Return the learning rate by step, without its warm-up."""
        return Plateau(self.learning_rate, self.plateau_factor, self.plateau_patience)


PUBLISHED: dict[str, dict[str, Any]] = {
    "dexed": {},
    "diva": {"smoothing": 0.01, "learning_rate": 3e-4, "betas": (0.91, 0.98), "weight_decay": 0.3},
}
"""What differs from :class:`Plan`'s own values, those for Dexed; other synthesisers take these. Both warm up for 6 … 9 of 600 epochs."""
PROXY_RATES = {"dexed": 1e-3, "diva": 5e-5}
"""Of fine-tuning a proxy on hand-made presets; others take Dexed's."""
CPU: dict[str, Any] = {
    "channels": (8, 16, 32, 48, 64, 96, 128), "mixed": 256, "epochs": 30, "learning_rate": 3e-3, "warm_up_share": 0.05, "look_epochs": 5,
}  # fmt: skip
"""A small network and a short training: some minutes on two cores for some thousands of sounds."""


def plan(preset: str, synth: str, rows: int, **changes: Any) -> Plan:
    """Resolve a training.

    Args:
        preset: ``cpu`` or ``paper``.
        synth: name of the synthesiser, for the published values.
        rows: training sounds.
        changes: in place of the preset's; None leaves the preset's.
    """
    base = {**PUBLISHED.get(synth, {}), **(CPU if preset == "cpu" else {})}
    return replace(Plan(rows), **{**base, **{name: value for name, value in changes.items() if value is not None}})
