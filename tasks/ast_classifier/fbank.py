"""AST's front end: Kaldi filter banks at the true sample rate, 128 mels, 10 ms, normalised with AudioSet's constants."""

from __future__ import annotations

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


def filter_bank(samples: Samples, claimed_rate_hz: int = RATE_HZ) -> torch.Tensor:
    """Return Kaldi's log-mel energies, float32 [own frames, 128], of a mono sound at 16 kHz.

    Args:
        samples: the sound, resampled to 16 kHz.
        claimed_rate_hz: the rate that Kaldi is told. Any other than the true one is the published code's fault, which hands on the
            rate from before resampling: frames get the wrong length and the mel axis shifts.
    """
    waveform = torch.from_numpy(samples)[None]
    waveform = waveform - waveform.mean()
    return torchaudio.compliance.kaldi.fbank(
        waveform, htk_compat=True, sample_frequency=claimed_rate_hz, use_energy=False, window_type="hanning", num_mel_bins=MELS, dither=0.0,
        frame_shift=FRAME_SHIFT_MS,
    )  # fmt: skip


def fit(bank: torch.Tensor, target_frames: int) -> torch.Tensor:
    """Return (bank − mean) / (2·std), float32 [target frames, 128], zero-padded before or cut."""
    missing = target_frames - bank.shape[0]
    bank = torch.nn.functional.pad(bank, (0, 0, 0, max(0, missing)))[:target_frames]
    return (bank - MEAN) / (2 * STD)


def fbank(samples: Samples, target_frames: int) -> torch.Tensor:
    """Return the features of a mono sound at 16 kHz, float32 [target frames, 128]."""
    return fit(filter_bank(samples), target_frames)
