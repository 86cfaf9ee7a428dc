"""Dry clips heard through RIRs: one transform of the dry clip for all RIRs and channels, at a length that transforms fast. No torch."""

from __future__ import annotations

import numpy as np
from scipy import fft

from core.audio import Samples
from core.errors import InvalidValueError


def fast_length(samples: int) -> int:
    """Return the next length from ``samples`` on that real transforms are fast at (small prime factors only)."""
    return int(fft.next_fast_len(samples, real=True))


def kept(dry_samples: int, rir_samples: int, delay_samples: int, length: int) -> int:
    """Return how many samples of the full convolution are needed, checking the request.

    Args:
        dry_samples: of the dry clip.
        rir_samples: of the RIR.
        delay_samples: of the simulator, cut off the front.
        length: of the result; 0 for that of the dry clip.

    Raises:
        InvalidValueError: there is nothing to convolve, or the delay is longer than the RIR.
    """
    if dry_samples < 1 or rir_samples < 1:
        raise InvalidValueError("nothing to convolve", where="convolve", allowed="at least one sample", received=(dry_samples, rir_samples))
    if not 0 <= delay_samples < rir_samples:
        raise InvalidValueError("outside the RIR", where="delay_samples", allowed=f"0 … {rir_samples - 1}", received=delay_samples)
    return delay_samples + (length or dry_samples)


def convolve(dry: Samples, rirs: Samples, delay_samples: int = 0, length: int = 0) -> Samples:
    """Return a dry clip heard through RIRs.

    Args:
        dry: float32 [T].
        rirs: float32 [..., L], for example [RIRs, 4, L]; pad short ones with zeros.
        delay_samples: the simulator's own delay, cut off so that sound and RIR begin together.
        length: samples of the result, 0 for T; beyond the end of the full convolution it is silent.

    Returns:
        float32 [..., length].
    """
    needed = kept(dry.shape[-1], rirs.shape[-1], delay_samples, length)
    full = dry.shape[-1] + rirs.shape[-1] - 1
    size = fast_length(max(full, 1))
    spectrum = fft.rfft(dry.astype(np.float32, copy=False), size)
    flat = rirs.reshape(-1, rirs.shape[-1]).astype(np.float32, copy=False)
    wet = np.zeros((len(flat), needed - delay_samples), np.float32)
    for row, rir in enumerate(flat):  # one at a time: a spectrum that stays in the cache beats one call for all
        found = fft.irfft(fft.rfft(rir, size) * spectrum, size, overwrite_x=True)
        end = min(needed, full)
        wet[row, : max(0, end - delay_samples)] = found[delay_samples:end]
    return wet.reshape(*rirs.shape[:-1], needed - delay_samples)
