"""What an estimator's outputs mean: relaxed presets that gradients pass through, and exact ones that a synthesiser plays."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from core.errors import InvalidValueError
from tasks.presets import hand_crafted
from tasks.presets.layout import Layout
from tasks.presets.parameters import Values

Relaxation = Literal["soft", "straight_through", "hard"]
"""``soft``: switches and categories as probabilities. ``straight_through``: decided, with the gradient of the probabilities (Bengio et
al., 2013). ``hard``: decided, without a gradient, as published."""


def split(outputs: Tensor, layout: Layout) -> tuple[Tensor, list[Tensor]]:
    """Take outputs [B, width] apart: logits of numbers and switches [B, S], and of each category's choices [B, cardinality]."""
    count = len(layout.scalar)
    if outputs.ndim != 2 or outputs.shape[1] != layout.width:
        raise InvalidValueError("outputs of another shape", where="sound_matching", allowed=f"[B, {layout.width}]",
                                received=tuple(outputs.shape))  # fmt: skip
    return outputs[:, :count], list(outputs[:, count:].split(list(layout.cardinalities), 1)) if layout.cardinalities else []


def relaxed(outputs: Tensor, layout: Layout, how: Relaxation) -> Tensor:
    """Return relaxed presets [B, width] (``tasks/preset_encoders/representations.py``) of outputs [B, width].

    Numbers are the sigmoid of their outputs in any case.
    """
    if how not in get_args(Relaxation):
        raise InvalidValueError("no such relaxation", where="sound_matching.relaxation", allowed=get_args(Relaxation), received=how)
    scalars, blocks = split(outputs, layout)
    found = torch.sigmoid(scalars)
    shares = [block.softmax(1) for block in blocks]
    if how != "soft":
        switches = torch.tensor([layout.kinds[place] == "bin" for place in layout.scalar], device=outputs.device)
        decided = (found >= 0.5).to(found.dtype)
        choices = [torch.nn.functional.one_hot(share.argmax(1), share.shape[1]).to(share.dtype) for share in shares]
        if how == "straight_through":
            decided = decided + found - found.detach()
            choices = [choice + share - share.detach() for choice, share in zip(choices, shares, strict=True)]
        found, shares = torch.where(switches, decided, found), choices
    return torch.cat([found, *shares], 1)


@torch.no_grad()
def exact(outputs: Tensor, layout: Layout) -> Values:
    """Return presets [B, used] that may be drawn: numbers at the nearest value of their interval or steps, the likeliest category."""
    scalars, blocks = split(outputs.float().cpu(), layout)
    levels = torch.sigmoid(scalars).double().numpy()
    found = np.zeros((len(outputs), layout.size), np.float32)
    for column, place in enumerate(layout.scalar):
        one = layout.spec.used[place]
        if one.is_discrete:
            steps = np.asarray(one.allowed)
            found[:, place] = steps[np.abs(levels[:, column, None] - steps).argmin(1)]
        else:
            found[:, place] = [hand_crafted.nearest(one, float(level))[0] for level in levels[:, column]]
    for block, place in zip(blocks, layout.categorical, strict=True):
        found[:, place] = block.argmax(1).numpy()
    return found
