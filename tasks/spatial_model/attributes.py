"""The 44 attributes that the spatial branch is pre-trained on (Spatial LibriSpeech, Sarabia et al., 2023), measured on a RIR."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import signal
from torch import Tensor

from tasks.spatial.acoustics import DIRECT_HALF_WINDOW_S, FIT_R, t30
from tasks.spatial_model.spaces import Spaces

Array = npt.NDArray[Any]
BANDS_HZ = tuple(1000.0 * 2 ** (step / 3) for step in range(-10, 10))
NOMINAL_HZ = (100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000)
"""Twenty third octaves, 100 Hz … 8 kHz (IEC 61260, base 2)."""
NAMES = (
    "azimuth", "elevation", "distance", "volume", *(f"drr_{hz}hz_db" for hz in NOMINAL_HZ), *(f"t30_{hz}hz_s" for hz in NOMINAL_HZ)
)  # fmt: skip
ANGLES = 2
"""How many of :data:`NAMES` are angles in radians; the others are z-scored."""


def third_octave(samples: Array, rate_hz: float, centre_hz: float) -> Array:
    """Return a third-octave band of a response, filtered backwards in time so that the filter's decay does not lengthen the room's."""
    sos = signal.butter(3, [centre_hz / 2 ** (1 / 6), centre_hz * 2 ** (1 / 6)], "bandpass", fs=rate_hz, output="sos")
    padded = np.pad(samples, (int(0.1 * rate_hz), 0))
    return np.asarray(signal.sosfilt(sos, padded[::-1])[::-1])


def band_measures(omni: Array, rate_hz: float) -> tuple[Array, Array]:
    """Return DRR in dB and T30 in s of each of :data:`BANDS_HZ` [20]; NaN above the Nyquist frequency and where the decay is no line.

    Args:
        omni: W of a response [samples].
        rate_hz: its sample rate.
    """
    drr, times = np.full(len(BANDS_HZ), np.nan), np.full(len(BANDS_HZ), np.nan)
    for place, centre in enumerate(BANDS_HZ):
        if centre * 2 ** (1 / 6) >= 0.49 * rate_hz:
            continue
        band = third_octave(omni, rate_hz, centre)
        energy = np.square(band)
        at = int(np.argmax(energy))
        # The band's own direct sound is as long as its filter rings, 1 / bandwidth.
        half = int(max(DIRECT_HALF_WINDOW_S, 1 / (0.23 * centre)) * rate_hz)
        direct, total = energy[max(0, at - half) : at + half].sum(), energy.sum()
        drr[place] = 10 * np.log10(direct / (total - direct)) if 0 < direct < total else np.nan
        fit = t30(band[at:], rate_hz)
        times[place] = fit.time_s if fit.r <= FIT_R else np.nan
    return drr, times


def of_space(spaces: Spaces, number: int) -> Array:
    """Return the attributes of a response [44]: angles in radians, m, m³, dB, s; NaN where not known. Heard at the model's rate."""
    place = spaces.place(number)
    area, distance, _ = place.quantities
    dims = spaces.catalogue.table["dims_m"].iloc[spaces.rows[number]] if "dims_m" in spaces.catalogue.table else None
    volume = float(np.prod(json.loads(dims))) if isinstance(dims, str) else area * 3.0
    drr, times = band_measures(spaces.rir(number)[0].numpy().astype(np.float64), spaces.rate_hz)
    return np.array([*place.angles, distance, volume, *drr, *times])


def attribute_loss(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return −cos(Δ azimuth) − cos(Δ elevation) + Σ mean squared errors of the z-scores, as published.

    Args:
        predicted: [rows, 44]: angles in radians, then z-scores.
        targets: the same; NaN does not count.
    """
    angles = -torch.cos(predicted[:, :ANGLES] - targets[:, :ANGLES]).mean(0).sum()
    known = targets[:, ANGLES:].isfinite()
    errors = torch.where(known, predicted[:, ANGLES:] - torch.nan_to_num(targets[:, ANGLES:]), 0.0).square()
    return angles + (errors.sum(0) / known.sum(0).clamp(min=1)).sum()
