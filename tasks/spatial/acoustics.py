"""Room acoustic measures of an impulse response (ISO 3382-1): T30, EDT, C50, DRR, in the full band and by octaves.

T30: Schroeder's (1965) backward integral of the squared response, a line from −5 to −35 dB, extrapolated to 60 dB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

Array = npt.NDArray[Any]
OCTAVES_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)
DIRECT_HALF_WINDOW_S = 0.0025
"""Half length of the window around the arrival whose energy counts as direct."""
FIT_R = -0.99
"""A line that correlates worse than this with the decay is no T30."""
OCTAVE_FIT_R = -0.97
"""The same in an octave band, where few modes make the decay less even."""


@dataclass(frozen=True)
class Fit:
    """A line through a part of a decay; NaN where the decay has no such range."""

    time_s: float
    """Time for 60 dB."""
    r: float
    """Correlation of level and time."""
    start_s: float
    """Where the line begins."""
    intercept_db: float
    """Level of the line at time 0."""


@dataclass(frozen=True)
class Acoustics:
    """What was measured of one response; NaN where it cannot be."""

    t30_ms: float
    """Reverberation time."""
    edt_ms: float
    """Early decay time, 0 … −10 dB."""
    c50_db: float
    """Clarity: energy of the first 50 ms from the arrival over the rest."""
    drr_db: float
    """Energy within 2.5 ms of the arrival over the rest."""
    fit_r: float
    """Correlation of the line that gave the T30."""
    direct_excluded: bool
    """The T30 is of what follows the direct sound, since with it the decay is no line."""
    octave_t30_ms: dict[int, float]
    """By centre frequency."""


def energy_decay_db(samples: Array) -> Array:
    """Return Schroeder's curve [samples] in dB, 0 at the start; −inf where nothing follows."""
    left = np.cumsum(np.square(samples[::-1], dtype=np.float64))[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(10 * np.log10(left / left[0])) if len(left) and left[0] > 0 else np.full(len(samples), -np.inf)


def fit_decay(levels_db: Array, step_s: float, high_db: float, low_db: float) -> Fit:
    """Fit a line to a decay [points] between two levels, such as −5 and −35 dB."""
    if len(levels_db) < 2:
        return Fit(np.nan, np.nan, np.nan, np.nan)
    below = levels_db < low_db
    first = int(np.argmax(levels_db <= high_db))
    last = int(np.argmax(below)) if below.any() else 0
    # Where the direct sound is so loud that what follows begins far below, there is no line from the upper level on.
    if last - first < 3 or levels_db[first] < high_db - 0.2 * (high_db - low_db):
        return Fit(np.nan, np.nan, np.nan, np.nan)
    times, levels = np.arange(first, last) * step_s, levels_db[first:last]
    mean_t, mean_l = times.mean(), levels.mean()
    covariance, spread = ((times - mean_t) * (levels - mean_l)).mean(), ((times - mean_t) ** 2).mean()
    slope = covariance / spread
    deviation = levels.std()
    if slope >= 0 or deviation == 0:
        return Fit(np.nan, np.nan, np.nan, np.nan)
    return Fit(float(-60 / slope), float(covariance / np.sqrt(spread) / deviation), first * step_s, float(mean_l - slope * mean_t))


def t30(samples: Array, rate_hz: float) -> Fit:
    """Fit −5 … −35 dB of a response [samples]."""
    return fit_decay(energy_decay_db(samples), 1 / rate_hz, -5.0, -35.0)


def truncated(samples: Array, rate_hz: float) -> Array:
    """Return a measured response up to where it sinks into its noise, which is read off its last tenth (ISO 3382-1, 5.3.3)."""
    smoothed = ndimage.uniform_filter1d(np.square(samples, dtype=np.float64), max(1, int(0.02 * rate_hz)), mode="nearest")
    noise = smoothed[-max(1, len(samples) // 10) :].mean()
    peak = int(np.argmax(np.abs(samples)))
    under = smoothed[peak:] < 4 * noise
    return samples[: peak + int(np.argmax(under))] if noise > 0 and under.any() else samples


def octave(samples: Array, rate_hz: float, centre_hz: float) -> Array:
    """Return an octave band of a response, filtered backwards in time so that the filter's own decay does not lengthen the room's."""
    sos = signal.butter(4, [centre_hz / 2**0.5, centre_hz * 2**0.5], "bandpass", fs=rate_hz, output="sos")
    padded = np.pad(samples, (int(0.05 * rate_hz), 0))
    return np.asarray(signal.sosfilt(sos, padded[::-1])[::-1])


def octaves_of(rate_hz: float) -> tuple[int, ...]:
    """Return the octave bands that lie wholly below the Nyquist frequency."""
    return tuple(centre for centre in OCTAVES_HZ if centre * 2**0.5 < 0.49 * rate_hz)


def measure(samples: Array, rate_hz: float, arrival: float | None = None, noisy: bool = False, octaves: bool = True) -> Acoustics:
    """Measure an omnidirectional response.

    Args:
        samples: W [samples].
        rate_hz: sample rate.
        arrival: sample at which the direct sound arrives; by default the loudest.
        noisy: a recording, which ends in noise; it is cut where it sinks into that.
        octaves: measure octave bands too.
    """
    samples = truncated(samples, rate_hz) if noisy else samples
    energy = np.square(samples, dtype=np.float64)
    at = float(np.argmax(energy)) if arrival is None else arrival
    half = DIRECT_HALF_WINDOW_S * rate_hz
    start, end = max(0, round(at - half)), round(at + half)
    total, direct = float(energy.sum()), float(energy[start:end].sum())
    early = float(energy[: round(at + 0.05 * rate_hz)].sum())
    levels = energy_decay_db(samples[max(0, int(at)) :])
    fit, excluded = fit_decay(levels, 1 / rate_hz, -5.0, -35.0), False
    if not fit.r <= FIT_R:  # NaN too
        rest = t30(samples[end:], rate_hz)
        if rest.r <= FIT_R or not np.isfinite(fit.r):
            fit, excluded = rest, True
    bands = octaves_of(rate_hz) if octaves else ()
    tail = samples[end:] if excluded else samples[max(0, int(at)) :]
    return Acoustics(
        t30_ms=1000 * fit.time_s if fit.r <= FIT_R else np.nan, edt_ms=1000 * fit_decay(levels, 1 / rate_hz, 0.0, -10.0).time_s,
        c50_db=_ratio_db(early, total - early), drr_db=_ratio_db(direct, total - direct), fit_r=fit.r, direct_excluded=excluded,
        octave_t30_ms={centre: _reliable_ms(t30(octave(tail, rate_hz, centre), rate_hz)) for centre in bands},
    )  # fmt: skip


def _reliable_ms(fit: Fit) -> float:
    return 1000 * fit.time_s if fit.r <= OCTAVE_FIT_R else np.nan


def _ratio_db(numerator: float, denominator: float) -> float:
    """Return a ratio of energies in dB, NaN without a denominator."""
    return float(10 * np.log10(numerator / denominator)) if numerator > 0 and denominator > 0 else float("nan")
