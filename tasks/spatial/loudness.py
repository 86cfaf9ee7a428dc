"""Integrated loudness by ITU-R BS.1770-4: K-weighting, blocks of 400 ms, two gates."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import signal

from core.audio import Samples

OFFSET_DB = -0.691
QUIETEST_LUFS = -70.0
"""The absolute gate; also said of silence."""


def k_weighting(sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Return the two second-order sections [2, 6]: the head's shelf and the high-pass.

    The standard lists coefficients for 48 kHz only; these are the analogue filters behind them (De Man, 2014), equal at 48 kHz to 1e-6.
    """
    gain, quality, tangent = 10 ** (3.999843853973347 / 20), 0.7071752369554196, math.tan(math.pi * 1681.974450955533 / sample_rate_hz)
    middle, divisor = gain**0.4996667741545416, 1.0 + tangent / quality + tangent**2
    shelf = [
        (gain + middle * tangent / quality + tangent**2) / divisor, 2.0 * (tangent**2 - gain) / divisor,
        (gain - middle * tangent / quality + tangent**2) / divisor, 1.0, 2.0 * (tangent**2 - 1.0) / divisor,
        (1.0 - tangent / quality + tangent**2) / divisor,
    ]  # fmt: skip
    quality, tangent = 0.5003270373238773, math.tan(math.pi * 38.13547087602444 / sample_rate_hz)
    divisor = 1.0 + tangent / quality + tangent**2
    high_pass = [1.0, -2.0, 1.0, 1.0, 2.0 * (tangent**2 - 1.0) / divisor, (1.0 - tangent / quality + tangent**2) / divisor]
    return np.array([shelf, high_pass])


def integrated(sound: Samples, sample_rate_hz: int) -> float:
    """Return the loudness of mono sound [T] in LUFS, −70 at the least; sounds shorter than a block are one block with silence behind."""
    block, hop = round(0.4 * sample_rate_hz), round(0.1 * sample_rate_hz)
    weighted = signal.sosfilt(k_weighting(sample_rate_hz), np.pad(sound.astype(np.float64), (0, max(0, block - len(sound)))))
    sums = np.concatenate([[0.0], np.cumsum(weighted**2)])
    starts = np.arange(0, len(weighted) - block + 1, hop)
    powers = np.maximum((sums[starts + block] - sums[starts]) / block, 1e-30)
    loud = powers[_lufs(powers) > QUIETEST_LUFS]
    if not len(loud):
        return QUIETEST_LUFS
    gated = loud[_lufs(loud) > _lufs(loud.mean()) - 10.0]
    return max(QUIETEST_LUFS, float(_lufs(gated.mean())))


def _lufs(power: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    return np.asarray(OFFSET_DB + 10.0 * np.log10(power))
