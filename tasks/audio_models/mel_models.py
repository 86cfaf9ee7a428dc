"""Log-mel levels as an audio model: nothing to download."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.audio_models.interface import AudioModel, Reduction
from tasks.contrastive.features import statistics
from tasks.grid.mel import MelFrontEnd

MELS, N_FFT, HOP = 128, 2048, 1024
LOW_HZ, HIGH_HZ = 20.0, 16000.0
FLOOR = 1e-5
"""Added to mel power before the logarithm."""
CENTRE, SPREAD = -2.0, 5.0
"""Natural-log levels are shifted and scaled by these, so that they lie within about ±2: silence is at −1.9, a full-scale sine at 2.1."""


class LogMel(AudioModel):
    """Natural-log levels of 128 mel bands (Slaney's, 20 … 16,000 Hz, 2,048-point frames every 1,024 samples), by default their mean.

    ``mel128`` of the published ranking is this at 44,100 Hz.
    """

    def __init__(self, sample_rate_hz: int = 44100, reduction: Reduction = "avg", name: str = "mel128") -> None:
        super().__init__(name, sample_rate_hz, MELS, includes_mel=True, reduction=reduction)
        self.front_end = MelFrontEnd(sample_rate_hz, N_FFT, HOP, MELS, f_min_hz=LOW_HZ, f_max_hz=min(HIGH_HZ, sample_rate_hz / 2))

    def moments(self, audio: Tensor) -> Tensor:
        """Return levels [sounds, frames, mels]; see :class:`AudioModel`."""
        # One by one on a CPU, where a sound's spectrum stays in the cache: three times as fast, and a level hangs on its sound alone.
        parts = audio.split(1) if audio.device.type == "cpu" else [audio]
        return torch.cat([(torch.log(self.front_end(part).transpose(1, 2) + FLOOR) - CENTRE) / SPREAD for part in parts])


class MelStatistics(LogMel):
    """Mean and standard deviation over time of 128 log-mel bands: 256 dimensions, at 32,000 Hz."""

    def __init__(self, sample_rate_hz: int = 32000) -> None:
        super().__init__(sample_rate_hz, "avg", "mel")
        self.dimensions = 2 * MELS

    def forward(self, audio: Tensor) -> Tensor:
        """Return [sounds, 256]; see :class:`AudioModel`."""
        return statistics(super().moments(audio.float()))
