"""The log-mel spectrograms that CLAP's HTSAT hears, worked out for a whole batch on its device instead of clip by clip in numpy."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from tasks.spatial_features.frames import spectra

RATE_HZ, N_FFT, HOP, MELS = 48_000, 1024, 480, 64
LOW_HZ, HIGH_HZ = 50.0, 14_000.0


class ClapMel(nn.Module):
    """What transformers' ``ClapFeatureExtractor`` makes of clips at 48 kHz: 64 mels, Hann windows of 1024 every 480 samples, 10·log10.

    Args:
        truncation: ``fusion`` has HTK mels (the fused checkpoints, DISSE's), ``rand_trunc`` Slaney's.
        sample_rate_hz: of the sounds.
        low_hz: lower end of the lowest mel band.
        high_hz: upper end of the highest one.
        mels: number of bands.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, truncation: str = "fusion", sample_rate_hz: int = RATE_HZ, low_hz: float = LOW_HZ, high_hz: float = HIGH_HZ, mels: int = MELS
    ) -> None:
        super().__init__()
        scale, norm = ("htk", None) if truncation == "fusion" else ("slaney", "slaney")
        bands = melscale_fbanks(N_FFT // 2 + 1, low_hz, min(high_hz, sample_rate_hz / 2), mels, sample_rate_hz, norm, scale)
        self.register_buffer("filters", bands, persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, sounds: Tensor) -> Tensor:
        """Return levels in dB [..., 1, frames, mels] of sounds [..., T]; 1,001 frames for 10 s."""
        with torch.autocast(sounds.device.type, enabled=False):  # powers leave half precision's range
            power = torch.view_as_real(spectra(sounds.float(), self.window, HOP)).square().sum(-1)
            levels = 10.0 * torch.log10((power @ self.filters).clamp(min=1e-10))
        return levels.unsqueeze(-3)
