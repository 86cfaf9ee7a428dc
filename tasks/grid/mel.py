"""The mel front-end that features and their inversion share: librosa's defaults on torchaudio."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor

GROUP = 16
"""Triangles that are multiplied together, with no other bins than theirs: nine tenths of the filters' numbers are zeros."""


class MelFrontEnd(torch.nn.Module):
    """Mel power of sounds as ``librosa.feature.melspectrogram`` defines it.

    Periodic Hann window, centred frames with zeros beyond the ends, |STFT|^power, Slaney's mel scale, triangles of equal area (norm
    ``slaney``). With power 2, a full-scale sine in the middle of a triangle gives about (Σ window / 2)² times the triangle's height.

    Args:
        sample_rate_hz: of the sounds.
        n_fft: window and transform length, in samples.
        hop: samples between frames.
        mels: triangles.
        power: 2 for power, 1 for magnitude.
        f_min_hz: lower edge of the first triangle.
        f_max_hz: upper edge of the last one; none: half the sample rate.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, sample_rate_hz: int, n_fft: int = 2048, hop: int = 512, mels: int = 128, power: float = 2.0,
        f_min_hz: float = 0.0, f_max_hz: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.sample_rate_hz, self.n_fft, self.hop, self.mels, self.power = sample_rate_hz, n_fft, hop, mels, power
        top_hz = f_max_hz or sample_rate_hz / 2
        filters = torchaudio.functional.melscale_fbanks(n_fft // 2 + 1, f_min_hz, top_hz, mels, sample_rate_hz, "slaney", "slaney")
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", filters, persistent=False)  # [bins, mels]
        self._groups = [(slice(at, at + GROUP), _reached(filters[:, at : at + GROUP])) for at in range(0, mels, GROUP)]

    def forward(self, sounds: Tensor) -> Tensor:
        """Sounds [clips, samples] → mel power [clips, mels, frames], with 1 + samples // hop frames."""
        power = self.spectrum(sounds)
        parts = [torch.matmul(power[:, bins].transpose(1, 2), self.filters[bins, mels]) for mels, bins in self._groups]
        return torch.cat(parts, -1).transpose(1, 2)

    def spectrum(self, sounds: Tensor) -> Tensor:
        """Sounds [clips, samples] → |STFT|^power [clips, bins, frames]."""
        found = torch.stft(
            sounds, self.n_fft, self.hop, window=self.window, center=True, pad_mode="constant", return_complex=True
        )  # fmt: skip
        return found.real.square().add_(found.imag.square()) if self.power == 2.0 else found.abs() ** self.power

    def ceiling(self) -> float:
        """Return a mel power that no clip within full scale comes near: (Σ window)^power times the highest triangle."""
        return float(self.window.sum() ** self.power * self.filters.max())


def _reached(filters: Tensor) -> slice:
    """Return the bins that any of some triangles [bins, mels] reaches; one bin where all lie between two."""
    bins = filters.any(1).nonzero().flatten().tolist() or [0]
    return slice(bins[0], bins[-1] + 1)


def frames_of(samples: int, hop: int) -> int:
    """Return how many centred frames a clip has."""
    return 1 + samples // hop
