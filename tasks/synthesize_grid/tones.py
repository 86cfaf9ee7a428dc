"""The oscillators, envelopes and noise: waveforms of one clip as float64 arrays, before amplitude."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float64]
TAU = 2 * np.pi


def angle(frequency_hz: float, phase_deg: float, samples: int, rate_hz: int, legacy_time_axis: bool) -> Signal:
    """Return the oscillator's angle in radians, in [0, 2π): float64 [samples].

    Args:
        frequency_hz: pitch.
        phase_deg: angle of the first sample, in degrees.
        samples: length.
        rate_hz: sample rate.
        legacy_time_axis: take ``numpy.linspace(0, duration, samples)`` for the times, as the published code does.
    """
    if legacy_time_axis:
        times = np.linspace(0, samples / rate_hz, samples)
        legacy: Signal = np.mod(TAU * frequency_hz * times + np.deg2rad(phase_deg), TAU)
        return legacy
    # Counted in periods, whose fraction is exact where it matters: an edge that falls on a sample stays there for the whole clip.
    exact: Signal = TAU * np.mod(frequency_hz * np.arange(samples) / rate_hz + phase_deg / 360, 1.0)
    return exact


def naive(waveform: str, angles: Signal, duty: float = 0.5) -> Signal:
    """Return a waveform of amplitude 1 as it is: SciPy's ``sawtooth(θ, 0.5)``, ``sawtooth(θ)`` and ``square(θ, duty)``, or a sine."""
    if waveform == "sine":
        return np.sin(angles)
    if waveform == "triangle":
        return np.where(angles < np.pi, 2 * angles / np.pi - 1, 3 - 2 * angles / np.pi)
    if waveform == "sawtooth":
        return angles / np.pi - 1
    return np.where(angles < TAU * duty, 1.0, -1.0)


def partials(waveform: str, count: int, duty: float = 0.5) -> tuple[float, Signal, Signal]:
    """Return the Fourier series of a waveform: its mean, and the factors of cos kθ and sin kθ for k = 1 … count.

    By integration over a period of the same waveforms: triangle −8/π² Σ cos kθ/k² over odd k, sawtooth −2/π Σ sin kθ/k, and for the square
    with duty d the mean 2d − 1 and 2/(πk) (sin 2πkd · cos kθ + (1 − cos 2πkd) · sin kθ).
    """
    k = np.arange(1, count + 1, dtype=np.float64)
    nothing = np.zeros(count)
    if waveform == "sine":
        return 0.0, nothing, (k == 1).astype(np.float64)
    if waveform == "triangle":
        return 0.0, np.where(k % 2 == 1, -8 / (np.pi * k) ** 2, 0.0), nothing
    if waveform == "sawtooth":
        return 0.0, nothing, -2 / (np.pi * k)
    return 2 * duty - 1, 2 / (np.pi * k) * np.sin(TAU * k * duty), 2 / (np.pi * k) * (1 - np.cos(TAU * k * duty))


def harmonics_below_nyquist(frequency_hz: float, rate_hz: int) -> int:
    """Return how many harmonics, the fundamental included, lie below half the sample rate."""
    return max(0, int(np.ceil(rate_hz / 2 / frequency_hz)) - 1)


def band_limited(waveform: str, angles: Signal, frequency_hz: float, rate_hz: int, duty: float = 0.5) -> Signal:
    """Return a waveform made of its harmonics below half the sample rate only: nothing aliases, edges ring (Gibbs)."""
    mean, of_cos, of_sin = partials(waveform, harmonics_below_nyquist(frequency_hz, rate_hz), duty)
    made = np.full(len(angles), mean)
    for k, (cosine, sine) in enumerate(zip(of_cos, of_sin, strict=True), start=1):
        if abs(cosine) > 1e-12:
            made += cosine * np.cos(k * angles)
        if abs(sine) > 1e-12:
            made += sine * np.sin(k * angles)
    return made


def envelope(name: str, samples: int, rate_hz: int) -> Signal:
    """Return an envelope in 0 … 1: float64 [samples].

    ``flat`` is 1; ``pluck`` rises within 5 ms and falls by 60 dB until the end; ``swell`` is a raised cosine from 0 to 1;
    ``adsr`` rises over a tenth, falls to 0.7 over a tenth, stays, and falls to 0 over the last fifth.
    """
    if name == "flat":
        return np.ones(samples)
    along = np.arange(samples) / samples
    if name == "pluck":
        return np.minimum(1.0, np.arange(samples) / (0.005 * rate_hz)) * 10 ** (-3 * along)
    if name == "swell":
        return 0.5 - 0.5 * np.cos(np.pi * along)
    return np.interp(along, [0, 0.1, 0.2, 0.8, 1.0], [0, 1, 0.7, 0.7, 0])


def noise_for(sound: Signal, snr_db: float, seed: int, values: dict[str, Any]) -> Signal:
    """Return white noise at a signal-to-noise ratio below a sound: float64 [samples].

    The draw hangs on the seed and the clip's factor values, so that a cell sounds the same in every grid that has it.
    """
    text = json.dumps([seed, sorted(values.items())])
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little"))
    power = float(np.mean(sound**2)) * 10 ** (-snr_db / 10)
    noise: Signal = np.sqrt(power) * rng.standard_normal(len(sound))
    return noise
