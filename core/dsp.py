"""Seeded building blocks for synthesised sounds: noise, tones, envelopes, resonances, rooms. Arrays are float64 [samples]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import signal

Signal = npt.NDArray[np.float64]


def time_axis(duration_s: float, rate_hz: int) -> Signal:
    """Return sample times in seconds, [round(duration_s · rate_hz)]."""
    return np.arange(round(duration_s * rate_hz)) / rate_hz


def coloured_noise(rng: np.random.Generator, length: int, slope_db_per_octave: float) -> Signal:
    """Return unit-RMS noise whose spectrum falls (negative) or rises by ``slope_db_per_octave``; 0 is white, −3 pink, −6 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.arange(len(spectrum), dtype=float)
    frequency[0] = 1.0
    shaped = np.fft.irfft(spectrum * frequency ** (slope_db_per_octave / (20 * np.log10(2))), length)
    return unit_rms(shaped - shaped.mean())


def unit_rms(sound: Signal) -> Signal:
    """Scale to RMS 1; silence stays silence."""
    level = float(np.sqrt(np.mean(sound**2))) if len(sound) else 0.0
    return sound / level if level > 0 else sound


def band_pass(sound: Signal, rate_hz: int, low_hz: float, high_hz: float, order: int = 2) -> Signal:
    """Butterworth band-pass, causal; edges are kept inside (0, Nyquist)."""
    edges = [max(10.0, low_hz), min(high_hz, 0.49 * rate_hz)]
    return np.asarray(signal.sosfilt(signal.butter(order, edges, "bandpass", fs=rate_hz, output="sos"), sound))


def oscillator(frequency_hz: Signal, rate_hz: int, harmonics: Signal | None = None, phase: float = 0.0) -> Signal:
    """Return Σ harmonics[k]·sin((k+1)·φ) for an instantaneous frequency [samples]; partials above Nyquist are left out: no aliases."""
    amplitudes = np.ones(1) if harmonics is None else harmonics
    angle = 2 * np.pi * np.cumsum(frequency_hz) / rate_hz + phase
    total = np.zeros_like(angle)
    for number, amplitude in enumerate(amplitudes, start=1):
        audible = number * frequency_hz < 0.48 * rate_hz
        total += amplitude * np.where(audible, np.sin(number * angle), 0.0)
    return total


def decay(times: Signal, start_s: float, t60_s: float, attack_s: float = 0.002) -> Signal:
    """Return an envelope that is 0 before ``start_s``, rises within ``attack_s`` and falls by 60 dB in ``t60_s``."""
    since = times - start_s
    rising = np.clip(since / max(attack_s, 1e-5), 0.0, 1.0)
    return np.where(since >= 0, rising * np.exp(-6.908 * np.maximum(since, 0.0) / t60_s), 0.0)


def modes(
    times: Signal, start_s: float, frequencies_hz: Signal, t60s_s: Signal, amplitudes: Signal, rate_hz: int, attack_s: float = 0.002
) -> Signal:
    """Return a struck body (modal synthesis): decaying partials from ``start_s``; partials above Nyquist are left out."""
    total = np.zeros_like(times)
    for frequency, t60, amplitude in zip(frequencies_hz, t60s_s, amplitudes, strict=True):
        if frequency < 0.48 * rate_hz:
            total += amplitude * decay(times, start_s, t60, attack_s) * np.sin(2 * np.pi * frequency * (times - start_s))
    return total


def room(sound: Signal, rng: np.random.Generator, rate_hz: int, t60_s: float, wet: float) -> Signal:
    """Mix in a simple room: six early reflections and an exponentially decaying noise tail, same length as the input."""
    if wet <= 0 or t60_s <= 0:
        return sound
    length = max(8, int(t60_s * rate_hz))
    tail = rng.standard_normal(length) * np.exp(-6.908 * np.arange(length) / length) * 0.3
    for delay in rng.integers(int(0.002 * rate_hz), int(0.03 * rate_hz), 6):
        if delay < length:
            tail[delay] += rng.uniform(0.3, 0.9) * rng.choice((-1, 1))
    reflected = signal.fftconvolve(sound, tail)[: len(sound)]
    level = np.sqrt(np.mean(sound**2)) / max(1e-12, np.sqrt(np.mean(reflected**2)))
    return np.asarray((1 - wet) * sound + wet * reflected * level)


def mix_at_snr(sound: Signal, noise: Signal, snr_db: float) -> Signal:
    """Add noise so that the RMS ratio of sound to noise over the whole clip is ``snr_db``."""
    level = np.sqrt(np.mean(sound**2)) / max(1e-12, np.sqrt(np.mean(noise**2)))
    return np.asarray(sound + noise * level * 10 ** (-snr_db / 20))


def at_level(sound: Signal, rms_dbfs: float, peak: float = 0.97) -> Signal:
    """Scale to an RMS level in dB full scale, less where the peak would exceed ``peak``; the mean is removed."""
    centred = sound - np.mean(sound)
    scaled = unit_rms(centred) * 10 ** (rms_dbfs / 20)
    highest = float(np.max(np.abs(scaled))) if len(scaled) else 0.0
    return scaled * (peak / highest) if highest > peak else scaled
