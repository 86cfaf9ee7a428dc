"""Distances between sounds: spectra at one and at three resolutions, mel spectra, MFCCs; each pair by itself, none hangs on a batch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torchaudio
from torch import Tensor, nn

from core.errors import InvalidValueError
from tasks.grid.mel import MelFrontEnd

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""Transform length, hop and window in samples, of the multi-resolution distance (Yamamoto et al., 2020)."""
SINGLE = (1024, 256, 1024)
BANDS, COEFFICIENTS = 128, 40
LEAST_POWER = 1e-8
"""Power of a spectrum's bin is at least this."""
MFCC_FFT, MFCC_HOP, PRE_EMPHASIS = 1024, 512, 0.97
MFCC_WEIGHT = 0.25
"""Of the MFCC distance, so that it is about as large as the others."""
NAMES = ("stft", "mstft", "mel", "mfccd")
MEAN = "a_mean"
AT_ONCE = 8
"""Pairs that are compared together."""


def magnitudes(sounds: Tensor, resolution: tuple[int, int, int]) -> Tensor:
    """Return |STFT| [B, bins, frames] of sounds [B, T]: periodic Hann window, centred frames, reflected ends."""
    size, hop, window = resolution
    found = torch.stft(
        sounds, size, hop, window, torch.hann_window(window, device=sounds.device, dtype=sounds.dtype), return_complex=True
    )  # fmt: skip
    return (found.real.square() + found.imag.square()).clamp(min=LEAST_POWER).sqrt()


def spectral(found: Tensor, wanted: Tensor) -> Tensor:
    """Return spectral convergence plus mean difference of logarithms [B] of magnitudes [B, bins, frames] (Arık et al., 2019).

    The first is the length of the difference over that of what is wanted.
    """
    convergence = (wanted - found).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    return convergence + (found.log() - wanted.log()).abs().mean((1, 2))


class AudioDistances(nn.Module):
    """The four distances and their mean.

    Args:
        sample_rate_hz: of the sounds.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        super().__init__()
        bands = MelFrontEnd(sample_rate_hz, SINGLE[0], SINGLE[1], BANDS).filters
        banks, _ = torchaudio.compliance.kaldi.get_mel_banks(
            BANDS, MFCC_FFT, float(sample_rate_hz), 0.0, sample_rate_hz / 2, vtln_low=100.0, vtln_high=-500.0, vtln_warp_factor=1.0
        )
        self.register_buffer("filters", bands, persistent=False)  # [bins, bands]
        self.register_buffer("banks", nn.functional.pad(banks, (0, 1)), persistent=False)  # [bands, bins]
        self.register_buffer("window", torch.hann_window(MFCC_FFT, periodic=False), persistent=False)
        self.register_buffer("cosines", torchaudio.functional.create_dct(COEFFICIENTS, BANDS, "ortho"), persistent=False)

    def mfcc(self, sounds: Tensor) -> Tensor:
        """Return MFCC 1 … 39 [B, 39, frames] of sounds [B, T]: of 128 Kaldi mel bands in dB, orthonormal; the zeroth is left out."""
        filtered = sounds[:, 1:] - PRE_EMPHASIS * sounds[:, :-1]
        found = torch.stft(filtered, MFCC_FFT, MFCC_HOP, MFCC_FFT, self.window, return_complex=True)
        power = self.banks @ (found.real.square() + found.imag.square())
        levels = 10 * power.clamp(min=LEAST_POWER).log10()
        return (levels.transpose(1, 2) @ self.cosines)[..., 1:].transpose(1, 2)

    def forward(self, found: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Return each distance [B] of :data:`NAMES`, MFCCD already weighted, and their mean, of sounds [B, T] and what was wanted.

        Raises:
            InvalidValueError: sounds of other shapes, or too short.
        """
        if found.shape != wanted.shape or found.ndim != 2 or found.shape[1] <= RESOLUTIONS[1][0]:
            raise InvalidValueError("sounds cannot be compared", where="sound_matching.distances",
                                    allowed=f"[B, T] twice, T above {RESOLUTIONS[1][0]}",
                                    received=[tuple(found.shape), tuple(wanted.shape)])  # fmt: skip
        single = [magnitudes(sound, SINGLE) for sound in (found, wanted)]
        several = [spectral(magnitudes(found, one), magnitudes(wanted, one)) for one in RESOLUTIONS]
        least = math.sqrt(LEAST_POWER)
        mels = [(self.filters.T @ sound).clamp(min=least) for sound in single]
        mfccd = (self.mfcc(found) - self.mfcc(wanted)).abs().mean((1, 2)) * MFCC_WEIGHT
        told = {"stft": spectral(*single), "mstft": torch.stack(several).mean(0), "mel": spectral(*mels), "mfccd": mfccd}
        return {**told, MEAN: torch.stack([told[name] for name in NAMES]).mean(0)}


@torch.no_grad()
def compare(
    distances: AudioDistances, found: list[npt.NDArray[np.float32] | None], wanted: list[npt.NDArray[np.float32]]
) -> list[dict[str, float] | None]:
    """Return the distances of each pair of sounds [T]; none where there is no sound to compare."""
    device = distances.window.device
    told: list[dict[str, float] | None] = [None] * len(found)
    places = [place for place, sound in enumerate(found) if sound is not None]
    for start in range(0, len(places), AT_ONCE):
        part = places[start : start + AT_ONCE]
        pair = [torch.from_numpy(np.stack([np.asarray(sounds[k], np.float32) for k in part])).to(device) for sounds in (found, wanted)]
        values = {name: value.double().cpu().tolist() for name, value in distances(*pair).items()}
        for number, place in enumerate(part):
            told[place] = {name: value[number] for name, value in values.items()}
    return told
