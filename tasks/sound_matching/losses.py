"""What an estimator is trained on: how far its presets are from the right ones, how far they sound by a proxy, and which counts when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from core.errors import InvalidValueError
from tasks.preset_encoders.encoder import PresetEncoder
from tasks.presets.layout import Layout
from tasks.sound_matching.decoding import Relaxation, relaxed, split

CATEGORY_WEIGHT = 0.01
"""Of the summed cross-entropies, which are far greater than the rest."""
PROXY_WEIGHT = 10.0
"""Of the proxy's loss."""
START, RAMP = 1 / 3, 1 / 3
"""Shares of the training before the weights begin to move, and while they do."""
Schedule = Literal["parameters", "mix", "switch", "audio"]


@dataclass(frozen=True)
class ParameterLoss:
    """Parts of the loss between presets, scalar tensors; 0 where the synthesiser has no such parameters."""

    numbers: Tensor
    """Mean absolute error of the sigmoid."""
    switches: Tensor
    """Binary cross-entropy, mean over the switches."""
    categories: Tensor
    """Cross-entropy with label smoothing, summed over the parameters, not yet weighted."""

    def total(self, category_weight: float = CATEGORY_WEIGHT) -> Tensor:
        """Return their weighted sum."""
        return self.numbers + self.switches + category_weight * self.categories


def parameter_loss(outputs: Tensor, presets: Tensor, layout: Layout, smoothing: float = 0.0) -> ParameterLoss:
    """Compare outputs [B, width] with exact presets [B, used].

    Args:
        outputs: logits.
        presets: the right ones.
        layout: of the presets.
        smoothing: share of each category's target that is spread over all choices.
    """
    scalars, blocks = split(outputs, layout)
    wanted = presets[:, list(layout.scalar)]
    numeric = [column for column, place in enumerate(layout.scalar) if layout.kinds[place] == "num"]
    binary = [column for column, place in enumerate(layout.scalar) if layout.kinds[place] == "bin"]
    none = outputs.new_zeros(())
    numbers = functional.l1_loss(torch.sigmoid(scalars[:, numeric]), wanted[:, numeric]) if numeric else none
    switches = functional.binary_cross_entropy_with_logits(scalars[:, binary], wanted[:, binary]) if binary else none
    categories = none
    for block, place in zip(blocks, layout.categorical, strict=True):
        categories = categories + functional.cross_entropy(block, presets[:, place].round().long(), label_smoothing=smoothing)
    return ParameterLoss(numbers, switches, categories)


def proxy_loss(outputs: Tensor, embeddings: Tensor, proxy: PresetEncoder, layout: Layout, how: Relaxation) -> Tensor:
    """Return the mean absolute error between the proxy's embeddings of the estimated presets and those of the sounds [B, m].

    Both are taken as the proxy was trained on them: in the audio model's own units, as published, unless it was trained on normalised ones.
    """
    heard = proxy.normalised(proxy.relaxed(relaxed(outputs, layout, how)))
    return functional.l1_loss(heard, proxy.normalised(embeddings))


def weights(schedule: Schedule, audio_first: bool, done: float) -> tuple[float, float]:
    """Return the weights of the parameter loss and of the proxy loss (without its own factor) at some share of the training.

    ``parameters`` and ``audio`` have one of them only. ``mix`` moves from the first loss to half of each, ``switch`` from the first to the
    other; both begin after a third of the training and move, linearly, for a third. The first loss is the parameters', or the proxy's.

    Args:
        schedule: which.
        audio_first: begin with the proxy's loss.
        done: share of the training, 0 … 1.
    """
    if schedule not in get_args(Schedule):
        raise InvalidValueError("no such schedule", where="sound_matching.schedule", allowed=get_args(Schedule), received=schedule)
    if schedule in ("parameters", "audio"):
        return (1.0, 0.0) if schedule == "parameters" else (0.0, 1.0)
    moved = min(1.0, max(0.0, (done - START) / RAMP))
    first = 1.0 - (0.5 if schedule == "mix" else 1.0) * moved
    return (1.0 - first, first) if audio_first else (first, 1.0 - first)
