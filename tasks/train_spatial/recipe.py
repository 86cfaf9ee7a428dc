"""The presets, resolved: how large, how long, how fast, by which labels."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from core.errors import InvalidValueError
from tasks.spatial_model.sizes import PRESETS, Sizes
from tasks.train_spatial.spec import Settings
from tasks.training.distributed import world


@dataclass(frozen=True)
class Pace:
    """A preset's numbers, by the names of the settings."""

    batch_sources: int
    batch_spaces: int
    epochs: int
    learning_rate: float
    look_epochs: int


PACES = {
    ("contrast", "paper"): Pace(24, 3, 40, 5e-5, 1), ("contrast", "cpu"): Pace(8, 8, 80, 1e-3, 8),
    ("attributes", "paper"): Pace(16, 16, 100, 1e-3, 1), ("attributes", "cpu"): Pace(8, 8, 10, 1e-3, 2),
}  # fmt: skip
FAULTS = (
    "compat: spaces by RIR and sources by clip, so that identical captions are negatives",
    "compat: directions as a cosine of raw angles, blind to their length and wrong at ±180°",
    "compat: words and targets by the nominal T30, sides mirrored against AmbiX",
)


@dataclass(frozen=True)
class Plan:
    """What a training does, all zeros filled in."""

    sizes: Sizes
    batch_sources: int
    batch_spaces: int
    epoch_batches: int
    """Batches that one pass over the clips has."""
    epoch_steps: int
    """Steps of one pass."""
    steps: int
    look_steps: int
    """Steps between two looks."""
    learning_rate: float
    warm_up: float
    hold: float
    floor: float
    precision: str
    source_label: str
    space_label: str
    rotate: bool
    same_azimuth_share: float
    mono_share: float
    trim: bool
    physical: bool

    @property
    def items(self) -> int:
        """Items of a batch."""
        return self.batch_sources * self.batch_spaces

    def rate_at(self, update: int) -> float:
        """Return the learning rate of an update: linear warm-up, hold, cosine down to the floor."""
        warm = max(1, round(self.warm_up * self.steps))
        falls = warm + round(self.hold * self.steps)
        if update < warm:
            return self.learning_rate * (update + 1) / warm
        if update < falls:
            return self.learning_rate
        share = min(1.0, (update - falls) / max(1, self.steps - falls))
        return self.learning_rate * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share)))


def sizes(settings: Settings) -> Sizes:
    """Return the architecture that settings ask for, before a checkpoint has its say."""
    found = PRESETS[settings.preset]
    changes: dict[str, object] = {"separate_scales": settings.separate_scales}
    if settings.source:
        changes["source"] = settings.source
    if settings.source == "htsat" and settings.preset == "cpu":
        changes["htsat"] = SMALL_HTSAT
    if settings.duration_s:
        changes["samples"] = round(settings.duration_s * found.sample_rate_hz)
    if settings.space_width:
        changes["space"] = settings.space_width
    if settings.compat:
        changes["direction_outputs"] = 2
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


SMALL_HTSAT = {
    "spec_size": 128, "patch_embeds_hidden_size": 24, "depths": [2, 2, 2], "num_attention_heads": [2, 4, 8], "hidden_size": 96,
    "num_hidden_layers": 3, "hidden_dropout_prob": 0.1,
}  # fmt: skip
"""The same tower with three stages and a quarter of the width, on 64 mels × 256 frames."""


def plan(settings: Settings, clips: int, rirs: int, shape: Sizes, device: str) -> Plan:
    """Resolve the settings.

    Args:
        settings: of the request.
        clips: training clips.
        rirs: training RIRs.
        shape: of the model.
        device: ``cuda`` has float16 in the paper's preset.

    Raises:
        InvalidValueError: a batch that cannot be dealt evenly to the ranks.
    """
    pace = PACES[settings.task, settings.preset]
    batch = min(settings.batch_sources or pace.batch_sources, clips // world() * world())
    if batch < 1 or batch % world():
        raise InvalidValueError(
            "ranks need equal parts", where="train_spatial.batch_sources", allowed=f"a multiple of {world()}, at most {clips}",
            received=settings.batch_sources or pace.batch_sources,
        )  # fmt: skip
    batches = max(1, clips // batch)
    steps_of_epoch = max(1, batches // settings.accumulate)
    steps = (settings.steps or (settings.epochs or pace.epochs) * steps_of_epoch) if settings.train else 0
    default = "float16" if settings.preset == "paper" and device == "cuda" else "float32"
    compat = settings.compat
    return Plan(
        sizes=shape, batch_sources=batch, batch_spaces=min(settings.batch_spaces or pace.batch_spaces, rirs), epoch_batches=batches,
        epoch_steps=steps_of_epoch, steps=steps, look_steps=steps_of_epoch * (settings.look_epochs or pace.look_epochs),
        learning_rate=settings.learning_rate or pace.learning_rate, warm_up=settings.warm_up_share, hold=settings.hold_share,
        floor=settings.floor_share, precision=settings.precision or default,
        source_label=settings.source_label or ("clip" if compat else "caption"),
        space_label=settings.label_by or ("rir" if compat else "descriptor"), rotate=settings.rotate and not compat,
        same_azimuth_share=settings.same_azimuth_share, mono_share=settings.mono_share if settings.task == "contrast" else 0.0,
        trim=settings.trim and not compat, physical=settings.physical_weight > 0 and settings.weights != "off",
    )  # fmt: skip
