"""The methods: each takes a clip (float32 [samples]), its sample rate and a seed, and returns a copy and what was done to it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import audiomentations
import numpy as np
from scipy.signal import fftconvolve

from core.audio import Samples, fit_length
from tasks.augment.spec import Settings

Outcome = tuple[Samples, dict[str, Any]]
MAX_SHIFT_FRACTION = 0.25


def random_noise(samples: Samples, rate_hz: int, seed: int, settings: Settings) -> Outcome:
    """Add white Gaussian noise at a signal-to-noise ratio drawn evenly in dB."""
    rng = np.random.default_rng(seed)
    snr_db = float(rng.uniform(settings.min_snr_db, settings.max_snr_db))
    level = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) * 10 ** (-snr_db / 20)
    return (samples + level * rng.standard_normal(samples.size)).astype(np.float32), {"snr_db": snr_db}


def pitch_shift(samples: Samples, rate_hz: int, seed: int, settings: Settings) -> Outcome:
    """Shift the pitch by an interval drawn evenly in semitones, the duration kept (audiomentations' phase vocoder)."""
    semitones = float(np.random.default_rng(seed).uniform(-settings.max_semitones, settings.max_semitones))
    shift = audiomentations.PitchShift(min_semitones=semitones, max_semitones=semitones, p=1.0)
    return shift(samples, rate_hz), {"semitones": semitones}


def chain(samples: Samples, rate_hz: int, seed: int, settings: Settings) -> Outcome:
    """Send the clip through audiomentations' transforms in random order, each with its own probability."""
    random.seed(seed)  # audiomentations draws from both global generators
    np.random.seed(seed % 2**32)
    parts = [
        audiomentations.AddGaussianSNR(min_snr_db=settings.min_snr_db, max_snr_db=settings.max_snr_db, p=0.5),
        audiomentations.TimeStretch(min_rate=0.8, max_rate=1.25, leave_length_unchanged=True, p=0.5),
        audiomentations.PitchShift(min_semitones=-settings.max_semitones, max_semitones=settings.max_semitones, p=0.5),
        audiomentations.Shift(min_shift=-MAX_SHIFT_FRACTION, max_shift=MAX_SHIFT_FRACTION, p=0.5),
        audiomentations.SevenBandParametricEQ(min_gain_db=-9.0, max_gain_db=9.0, p=0.5),
        audiomentations.Gain(min_gain_db=-9.0, max_gain_db=3.0, p=0.5),
    ]
    transform = audiomentations.Compose(parts, shuffle=True)
    altered = transform(samples, rate_hz)
    done = [type(part).__name__ for part in transform.transforms if part.parameters.get("should_apply")]
    return altered, {"transforms": done}


def room(samples: Samples, rate_hz: int, seed: int, settings: Settings) -> Outcome:
    """Convolve with exponentially decaying noise (Moorer, 1979), mixed with the dry clip at a direct-to-reverberant ratio of 0 to 15 dB."""
    rng = np.random.default_rng(seed)
    t60_s = float(np.exp(rng.uniform(np.log(settings.min_t60_s), np.log(settings.max_t60_s))))
    drr_db = float(rng.uniform(0.0, 15.0))
    times = np.arange(round(t60_s * rate_hz)) / rate_hz
    tail = rng.standard_normal(times.size) * 10 ** (-3.0 * times / t60_s)
    tail *= 10 ** (-drr_db / 20) / max(1e-12, float(np.sqrt(np.sum(tail**2))))
    wet = fftconvolve(samples, tail)[: samples.size]
    return (samples + wet).astype(np.float32), {"t60_s": t60_s, "drr_db": drr_db}


METHODS: dict[str, Callable[[Samples, int, int, Settings], Outcome]] = {
    "random_noise": random_noise, "pitch_shift": pitch_shift, "audiomentations": chain, "room": room,
}  # fmt: skip


def apply(samples: Samples, rate_hz: int, seed: int, settings: Settings) -> Outcome:
    """Alter a clip by the chosen method, at its own length and never above full scale."""
    altered, parameters = METHODS[settings.method](samples, rate_hz, seed, settings)
    altered = fit_length(np.asarray(altered, dtype=np.float32), samples.size)
    peak = float(np.abs(altered).max(initial=0.0))
    return (altered * np.float32(0.98 / peak) if peak > 0.98 else altered), parameters
