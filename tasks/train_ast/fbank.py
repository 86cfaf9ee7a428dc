"""AST's front end: Kaldi filter banks at the true sample rate, 128 mels, 10 ms, normalised with AudioSet's constants."""

from __future__ import annotations

import math

import torch
import torchaudio

from core.audio import Samples

RATE_HZ = 16000
MELS = 128
FRAME_SHIFT_MS = 10.0
MEAN, STD = -4.2677393, 4.5689974
"""AudioSet's log-mel mean and deviation, as in the published AST."""


def frames(duration_s: float) -> int:
    """Return AST's target length for clips of this duration: 1,024 frames for 10 s, so 512 for 5 s."""
    return max(32, int(duration_s * 1024 // 10))


def fbank(samples: Samples, target_frames: int) -> torch.Tensor:
    """Return (fbank − mean) / (2·std), float32 [target frames, 128], of a mono sound at 16 kHz, zero-padded.

    The sound must be resampled to 16 kHz before: the published code hands the old rate to Kaldi after resampling, which shifts the
    mel axis.
    """
    waveform = torch.from_numpy(samples)[None]
    waveform = waveform - waveform.mean()
    banks = torchaudio.compliance.kaldi.fbank(
        waveform, htk_compat=True, sample_frequency=RATE_HZ, use_energy=False, window_type="hanning", num_mel_bins=MELS, dither=0.0,
        frame_shift=FRAME_SHIFT_MS,
    )  # fmt: skip
    missing = target_frames - banks.shape[0]
    banks = torch.nn.functional.pad(banks, (0, 0, 0, max(0, missing)))[:target_frames]
    return (banks - MEAN) / (2 * STD)


def augment(banks: torch.Tensor, generator: torch.Generator, masked_frames: int, masked_mels: int) -> torch.Tensor:
    """Roll in time, change the gain by up to ±10 dB, and mask a span of frames and a span of mels (SpecAugment); [frames, mels]."""

    def whole(high: int) -> int:
        return int(torch.randint(0, max(1, high), (1,), generator=generator))

    shifted = torch.roll(banks, whole(banks.shape[0]), dims=0)
    gain_db = (float(torch.rand(1, generator=generator)) - 0.5) * 20
    shifted = shifted + gain_db / 10 * math.log(10) / (2 * STD)  # power in dB as natural log, in normalised units
    length, width = whole(masked_frames + 1), whole(masked_mels + 1)
    start, low = whole(shifted.shape[0] - length + 1), whole(MELS - width + 1)
    shifted[start : start + length] = 0.0
    shifted[:, low : low + width] = 0.0
    return shifted
