"""Spectral features of one sound, means over its frames; silent frames do not count."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from core import audio

RATE_HZ, SIZE, HOP = 16000, 512, 256
ROLL_OFF = 0.85
"""Share of the power below the roll-off."""
QUIET_DB = -60.0
"""Frames further below the loudest one do not count."""
FEATURES = ("level_dbfs", "centroid_hz", "bandwidth_hz", "rolloff_hz", "flatness_db", "flux")


def features(sound: audio.Samples) -> dict[str, float] | None:
    """Return the features of a sound [samples] at :data:`RATE_HZ` by the names of :data:`FEATURES`; None for silence.

    Centroid and bandwidth are mean and deviation of the frequency weighted by power, flatness is the geometric over the arithmetic mean of
    the power (0 dB: white; Johnston, 1988), flux the mean distance of neighbouring frames' spectra at unit length, 0 … √2.
    """
    padded = np.pad(sound.astype(np.float64), (0, max(0, SIZE - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, SIZE)[::HOP] * np.hanning(SIZE)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, 1:]) ** 2
    total = power.sum(1)
    heard = total > max(1e-12, float(total.max()) * 10 ** (QUIET_DB / 10))
    if not heard.any():
        return None
    power, total = power[heard], total[heard]
    hertz = np.arange(1, SIZE // 2 + 1) * RATE_HZ / SIZE
    centroid = (power @ hertz) / total
    bandwidth = np.sqrt(np.maximum(0.0, (power @ hertz**2) / total - centroid**2))
    below = np.cumsum(power, axis=1) >= ROLL_OFF * total[:, None]
    flatness = np.exp(np.log(power + 1e-20).mean(1)) / power.mean(1)
    values = {
        "level_dbfs": 20 * np.log10(max(1e-10, float(np.sqrt(np.mean(sound.astype(np.float64) ** 2))))),
        "centroid_hz": centroid.mean(), "bandwidth_hz": bandwidth.mean(), "rolloff_hz": hertz[below.argmax(1)].mean(),
        "flatness_db": (10 * np.log10(np.maximum(1e-15, flatness))).mean(), "flux": _flux(power),
    }  # fmt: skip
    return {name: float(value) for name, value in values.items()}


def _flux(power: npt.NDArray[np.float64]) -> float:
    """Return the mean distance of neighbouring spectra [frames, bins]; 0 for one frame."""
    magnitudes = np.sqrt(power)
    unit = magnitudes / np.maximum(1e-12, np.linalg.norm(magnitudes, axis=1, keepdims=True))
    return float(np.linalg.norm(np.diff(unit, axis=0), axis=1).mean()) if len(unit) > 1 else 0.0


def quantiles(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return the 5, 25, 50, 75 and 95 % quantiles of every feature."""
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    return (
        {name: [round(float(value), 4) for value in np.quantile([row[name] for row in rows], levels)] for name in FEATURES} if rows else {}
    )


def overlap(first: list[dict[str, float]], second: list[dict[str, float]], bins: int = 20) -> dict[str, float]:
    """Return by feature how much of two sets' histograms over common bins coincides: 1 the same, 0 apart."""
    found = {}
    for name in FEATURES if first and second else ():
        one, other = (np.array([row[name] for row in rows]) for rows in (first, second))
        edges = np.linspace(min(one.min(), other.min()), max(one.max(), other.max()) + 1e-9, bins + 1)
        shares = [np.histogram(values, edges)[0] / len(values) for values in (one, other)]
        found[name] = round(float(np.minimum(*shares).sum()), 4)
    return found
