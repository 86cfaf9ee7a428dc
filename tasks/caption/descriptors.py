"""Acoustic descriptors measured from a clip: loudness, pitch, brightness, onset rate, noisiness, variation, decay."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

RATE_HZ = 16000
FRAME, HOP = 1024, 256
FLOOR = 1e-10


@dataclass(frozen=True)
class Descriptors:
    """What was measured of one clip."""

    loudness_dbfs: float
    """RMS level in dB full scale."""
    centroid_hz: float
    """Power-weighted mean frequency (spectral centroid)."""
    flatness: float
    """Geometric over arithmetic mean of the power spectrum, 0 (tone) … 1 (white noise)."""
    pitch_hz: float
    """Median fundamental of the frames that have one, 0 when fewer than a quarter do."""
    voiced: float
    """Share of sounding frames with a clear period."""
    onsets_per_s: float
    """Attacks per second."""
    activity: float
    """Share of frames within 25 dB of the loudest."""
    variation_db: float
    """Standard deviation of the frame level over the active frames."""
    decay_db_per_s: float
    """Median fall of the level after attacks; small values mean ringing or reverberation."""

    def as_dict(self) -> dict[str, float]:
        """Return the values, rounded for the manifest."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def measure(samples: npt.NDArray[np.float32]) -> Descriptors:
    """Measure a mono clip, float32 [samples] at 16 kHz."""
    padded = np.pad(samples.astype(np.float64), (0, max(0, FRAME * 2 - len(samples))))
    _, _, transform = signal.stft(padded, RATE_HZ, nperseg=FRAME, noverlap=FRAME - HOP, boundary=None)
    power = np.abs(transform) ** 2 + FLOOR * 1e-2
    level_db = 10 * np.log10(power.sum(0))
    active = level_db > level_db.max() - 25
    mean_power = power[:, active].mean(1)
    frequencies = np.fft.rfftfreq(FRAME, 1 / RATE_HZ)
    band = slice(4, len(frequencies))  # below 60 Hz lies rumble of the recording
    pitch_hz, voiced = _pitch(padded, active)
    onsets = _onsets(level_db, power)
    seconds = len(padded) / RATE_HZ
    return Descriptors(
        loudness_dbfs=float(10 * np.log10(np.mean(padded**2) + FLOOR)),
        centroid_hz=float((frequencies * mean_power)[band].sum() / mean_power[band].sum()),
        flatness=float(np.exp(np.log(mean_power[band]).mean()) / mean_power[band].mean()),
        pitch_hz=pitch_hz, voiced=voiced, onsets_per_s=float(len(onsets) / seconds), activity=float(active.mean()),
        variation_db=float(level_db[active].std()), decay_db_per_s=_decay(level_db, onsets),
    )  # fmt: skip


def _pitch(samples: npt.NDArray[np.float64], active: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return (median fundamental, share of periodic frames) by normalised autocorrelation between 50 and 2,000 Hz."""
    found, looked = [], 0
    shortest, longest = RATE_HZ // 2000, RATE_HZ // 50
    for frame in np.flatnonzero(active)[::4]:
        part = samples[frame * HOP : frame * HOP + 2 * FRAME]
        if len(part) < 2 * FRAME:
            continue
        looked += 1
        part = part - part.mean()
        correlation = signal.correlate(part, part, mode="full", method="fft")[len(part) - 1 :]
        correlation /= correlation[0] + FLOOR
        # Past the first zero crossing, or the main lobe itself would be taken for a period.
        start = max(shortest, int(np.argmax(correlation < 0)) or shortest)
        lag = start + int(np.argmax(correlation[start : longest + 1])) if start < longest else 0
        if lag and correlation[lag] > 0.5:
            found.append(RATE_HZ / lag)
    voiced = len(found) / looked if looked else 0.0
    return (float(np.median(found)) if voiced > 0.25 else 0.0), float(voiced)


def _onsets(level_db: npt.NDArray[np.float64], power: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the frames at which the spectrum rises suddenly (positive log-spectral flux), at least 60 ms apart."""
    logs = np.log10(power[2:] + FLOOR)
    flux = np.maximum(np.diff(logs, axis=1), 0).mean(0)
    loud = level_db[1:] > level_db.max() - 30
    threshold = max(0.12, float(np.median(flux) + 2.5 * np.median(np.abs(flux - np.median(flux))) + 0.05))
    peaks, _ = signal.find_peaks(flux * loud, height=threshold, distance=max(1, int(0.06 * RATE_HZ / HOP)))
    return peaks


def _decay(level_db: npt.NDArray[np.float64], onsets: npt.NDArray[np.intp]) -> float:
    """Return the median fall in dB per second over the 150 ms after attacks, 0 when there are none."""
    span = int(0.15 * RATE_HZ / HOP)
    falls = [max(level_db[o : o + 4]) - level_db[min(o + 3 + span, len(level_db) - 1)] for o in onsets if o + 3 + span < len(level_db)]
    return float(max(0.0, np.median(falls)) / 0.15) if falls else 0.0
