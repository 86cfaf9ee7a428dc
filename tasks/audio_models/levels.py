"""The log-mel spectrogram that preset sets keep, and that sound matching listens to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.grid.mel import MelFrontEnd

MEL_FFT, MEL_HOP, MEL_BANDS, MEL_FLOOR = 1024, 512, 128, 1e-5


class Levels(nn.Module):
    """Natural-log mel power of sounds.

    Args:
        sample_rate_hz: of the sounds.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        super().__init__()
        self.mel = MelFrontEnd(sample_rate_hz, MEL_FFT, MEL_HOP, MEL_BANDS)

    def forward(self, sounds: Tensor) -> Tensor:
        """Return levels [B, 128, frames] of sounds [B, T]."""
        found: Tensor = torch.log(self.mel(sounds) + MEL_FLOOR)
        return found


def frames(samples: int) -> int:
    """Return the frames of a sound of so many samples."""
    return 1 + samples // MEL_HOP
