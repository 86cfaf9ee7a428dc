"""What happens to a training batch's features: a random stretch, roll, gain, SpecAugment's masks, mixup. Whole batches at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.ast_classifier.fbank import STD


@dataclass(frozen=True)
class Augmentation:
    """How far clips are altered; 0 is off. Fields as in ``spec.Settings``."""

    roll: float = 0.0
    gain_db: float = 0.0
    masked_frames: int = 0
    masked_mels: int = 0


def stretches(banks: Tensor, lengths: Tensor, rows: Tensor, frames: int, roll: float, generator: torch.Generator) -> Tensor:
    """Return a random stretch of each clip, rolled: [rows, frames, mels].

    Args:
        banks: all clips [clips, target frames, mels].
        lengths: frames of each clip that are sound [clips]; a stretch does not begin in the padding behind them.
        rows: clips of the batch.
        frames: length of a stretch, at most the target length.
        roll: largest circular shift either way, as a share of the stretch.
        generator: where the random numbers come from; as many are drawn whatever the settings.
    """
    chance = torch.rand(2, len(rows), generator=generator, dtype=torch.float64)
    starts = _whole(chance[0], (lengths[rows] - frames).clamp(min=0))
    reach = round(roll * frames)
    shifts = _whole(chance[1], torch.full_like(starts, 2 * reach)) - reach
    columns = (torch.arange(frames) - shifts[:, None]) % frames
    return banks[rows[:, None], starts[:, None] + columns]


def alter(banks: Tensor, options: Augmentation, generator: torch.Generator) -> Tensor:
    """Return [batch, frames, mels] with the level changed and a span of frames and a span of mels masked, each clip its own.

    A mask holds 0, the mean of the normalised features, as SpecAugment wants it.
    """
    chance = torch.rand(5, len(banks), generator=generator, dtype=torch.float64)
    if options.gain_db:
        gain_db = (2 * chance[0] - 1) * options.gain_db
        banks = banks + (gain_db / 10 * math.log(10) / (2 * STD)).float()[:, None, None]  # power in dB as natural log, normalised
    for axis, widest, width, place in ((1, options.masked_frames, 1, 2), (2, options.masked_mels, 3, 4)):
        if widest:
            size = banks.shape[axis]
            wide = _whole(chance[width], torch.full((len(banks),), min(widest, size)))
            start = _whole(chance[place], size - wide)
            spot = torch.arange(size)
            masked = (spot >= start[:, None]) & (spot < (start + wide)[:, None])
            banks = banks.masked_fill(masked[:, :, None] if axis == 1 else masked[:, None], 0.0)
    return banks


def _whole(chance: Tensor, high: Tensor) -> Tensor:
    """Turn numbers in [0, 1) into whole ones in 0 … high."""
    return (chance * (high + 1)).long()


def mix(banks: Tensor, targets: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix each clip with another of the batch (mixup, Zhang et al., 2018) in a share of the batches; the weight is uniform in ½ … 1."""
    if not share or float(torch.rand(1, generator=generator)) >= share:
        return banks, targets
    weight = 0.5 + 0.5 * float(torch.rand(1, generator=generator))
    other = torch.randperm(len(banks), generator=generator)
    return weight * banks + (1 - weight) * banks[other], weight * targets + (1 - weight) * targets[other]
