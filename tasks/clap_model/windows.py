"""Cuts clips into the model's window length without chance: evenly spaced windows for long clips, repetition for short ones."""

from __future__ import annotations

import numpy as np
import torch

from core.audio import Samples

MAX_WINDOWS = 5


def windows(sound: Samples, length: int) -> torch.Tensor:
    """Return windows [n, length] of a sound [samples]; a shorter sound is repeated and padded, as laion-clap does.

    The published filter crops at random, so that its decision changes from run to run; here the windows are spaced evenly.
    """
    if len(sound) < length:
        repeated = np.tile(sound, max(1, length // max(1, len(sound))))
        return torch.from_numpy(np.pad(repeated, (0, length - len(repeated))).astype(np.float32))[None]
    count = min(MAX_WINDOWS, -(-len(sound) // length))
    starts = np.linspace(0, len(sound) - length, count).round().astype(int)
    return torch.from_numpy(np.stack([sound[start : start + length] for start in starts]).astype(np.float32))


def template(label: str) -> str:
    """Return the text a clip is scored against: the label, not its caption (Synthio's filter)."""
    return f"Sound of a {label.replace('_', ' ').strip()}"
