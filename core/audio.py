"""Sound files in and out: libsndfile decodes, soxr resamples; arrays are float32, shaped [channels, samples]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from core import atomic

Samples = npt.NDArray[np.float32]


def read(path: Path) -> tuple[Samples, int]:
    """Decode a sound file.

    Returns:
        samples [channels, samples] as float32 in full scale ±1, and the sample rate in Hz.

    Raises:
        soundfile.LibsndfileError: the file is no sound file, or is damaged.
    """
    samples, sample_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples.T), int(sample_rate_hz)


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample [..., samples] along its last axis with soxr's high-quality filter; deterministic."""
    if from_hz == to_hz:
        return samples
    moved = soxr.resample(np.moveaxis(samples, -1, 0), from_hz, to_hz, quality="HQ")
    return np.ascontiguousarray(np.moveaxis(moved, 0, -1), dtype=np.float32)


def load_mono(path: Path, sample_rate_hz: int) -> Samples:
    """Decode, average the channels and resample: float32 [samples] at ``sample_rate_hz``."""
    samples, rate_hz = read(path)
    return resample(samples.mean(axis=0), rate_hz, sample_rate_hz)


def fit_length(samples: Samples, length: int) -> Samples:
    """Cut or zero-pad [..., samples] at the end to ``length`` samples."""
    if samples.shape[-1] >= length:
        return samples[..., :length]
    padding = [(0, 0)] * (samples.ndim - 1) + [(0, length - samples.shape[-1])]
    return np.pad(samples, padding)


def repeat_to(samples: Samples, length: int) -> Samples:
    """Repeat [..., samples] from its start until ``length`` samples are full, the last time in part; no samples at all give silence."""
    times = -(-length // max(1, samples.shape[-1]))
    return fit_length(np.tile(samples, max(1, times)), length)


def write(path: Path, samples: Samples, sample_rate_hz: int, subtype: str | None = None) -> None:
    """Encode [samples] or [channels, samples] atomically; the format follows the suffix (.wav 16 bit, .flac 24 bit by default)."""
    kind = path.suffix.lower().removeprefix(".").upper()
    chosen = subtype or {"WAV": "PCM_16", "FLAC": "PCM_24"}[kind]
    with atomic.replacing(path) as temporary:
        soundfile.write(temporary, np.atleast_2d(samples).T, sample_rate_hz, format=kind, subtype=chosen)
