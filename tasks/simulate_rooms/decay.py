"""What the image sources of a shoebox decay like on average, without computing them: for absorptions that give a T30, and for tails.

An image source in direction u at distance r has passed about r·Σ|uᵢ|/Lᵢ walls, and 4πr²dr/V of them lie in a shell; each brings 1/r² of
power. (Lehmann and Johansson, 2008, sum the same over images.) So the power at time t, for pulses of energy 1 at 1 m, is

    p(t) = 4πc/V · mean over u of exp(ct·(ln(1 − α)·Σ|uᵢ|/Lᵢ − m))

with air absorption m. Flat rooms decay slower than Sabine says, since what travels along the floor seldom meets a wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from tasks.spatial import acoustics

Array = npt.NDArray[Any]
SPEED_M_S = 343.0
"""pyroomacoustics' own."""
POINTS = 240
"""Times of an expected decay."""


@cache
def _directions() -> tuple[Array, Array]:
    """Return unit vectors [Q, 3] of one octant and their weights [Q], which sum to 1: Gauss-Legendre in cos θ and φ."""
    nodes, weights = np.polynomial.legendre.leggauss(10)
    places, weights = (nodes + 1) / 2, weights / 2
    up, turn = np.meshgrid(places, places * np.pi / 2, indexing="ij")
    flat = np.sqrt(1 - up**2)
    vectors = np.stack([flat * np.cos(turn), flat * np.sin(turn), up], axis=-1)
    return vectors.reshape(-1, 3), np.outer(weights, weights).ravel()


def volume(dims_m: Sequence[float]) -> float:
    """Return the volume in m³."""
    return float(np.prod(dims_m))


def sabine_absorption(dims_m: Sequence[float], t_s: float) -> float:
    """Return the absorption coefficient by Sabine's formula T = 0.161 V / (S α), unbounded."""
    x, y, z = dims_m
    return 0.161 * volume(dims_m) / (2 * (x * y + y * z + z * x) * t_s)


def mixing_time_s(dims_m: Sequence[float]) -> float:
    """Return Polack's (1988) mixing time, √V milliseconds for V in m³."""
    return 0.001 * volume(dims_m) ** 0.5


def power(dims_m: Sequence[float], alphas: Sequence[float], air_per_m: Sequence[float], times_s: Array) -> Array:
    """Return the expected power per second of W, Y, Z, X by octave band, [bands, 4, times], each band taken as the whole spectrum."""
    vectors, weights = _directions()
    rates = (vectors / np.asarray(dims_m)).sum(axis=1)
    loss = np.log1p(-np.asarray(alphas, float))[:, None] * rates - np.asarray(air_per_m, float)[:, None]
    decays = np.exp(SPEED_M_S * loss[..., None] * times_s)
    shares = np.concatenate([np.ones((len(vectors), 1)), vectors[:, [1, 2, 0]] ** 2], axis=1) * weights[:, None]
    return np.asarray(4 * np.pi * SPEED_M_S / volume(dims_m) * np.einsum("bqt,qc->bct", decays, shares))


def curve(
    dims_m: Sequence[float], alphas: Sequence[float], air_per_m: Sequence[float], widths: Sequence[float], end_s: float
) -> tuple[Array, Array]:
    """Return times [points] and the expected energy after them, W over all bands [points], without the direct sound.

    Args:
        dims_m: of the room.
        alphas: absorption by band.
        air_per_m: air absorption by band.
        widths: share of the spectrum that each band is.
        end_s: last time.
    """
    times = np.linspace(0.0, end_s, POINTS)
    total = np.asarray(widths) @ power(dims_m, alphas, air_per_m, times)[:, 0]
    pieces = (total[1:] + total[:-1]) / 2 * times[1]
    falling = np.log(max(total[-2], 1e-300) / max(total[-1], 1e-300)) / times[1]
    beyond = total[-1] / falling if falling > 0 else 0.0
    return times, np.concatenate([np.cumsum(pieces[::-1])[::-1], [0.0]]) + beyond


def time_to(dims_m: Sequence[float], alphas: Sequence[float], air_per_m: Sequence[float], widths: Sequence[float], fall_db: float) -> float:
    """Return when the expected energy has fallen by ``fall_db``, in seconds."""
    end = 2.0 * 0.161 * volume(dims_m) / (_surface(dims_m) * -np.log1p(-float(np.mean(alphas))))
    while True:
        times, left = curve(dims_m, alphas, air_per_m, widths, end)
        levels = 10 * np.log10(left / left[0])
        if levels[-1] <= -fall_db:
            return float(times[int(np.argmax(levels <= -fall_db))])
        end *= 2


def _surface(dims_m: Sequence[float]) -> float:
    x, y, z = dims_m
    return 2 * (x * y + y * z + z * x)


def expected_t30_s(dims_m: Sequence[float], alphas: Sequence[float], air_per_m: Sequence[float], widths: Sequence[float]) -> float:
    """Return the T30 that a response is expected to measure; the direct sound shifts the decay and does not bend it."""
    times, left = curve(dims_m, alphas, air_per_m, widths, 1.2 * time_to(dims_m, alphas, air_per_m, widths, 45.0))
    return acoustics.fit_decay(10 * np.log10(left / left[0]), float(times[1]), -5.0, -35.0).time_s


def matched_absorption(
    dims_m: Sequence[float], shape: Array, air_per_m: Sequence[float], widths: Sequence[float], t30_s: float,
    limits: tuple[float, float],
) -> Array:  # fmt: skip
    """Return the absorption by band [bands], ``shape`` times a factor, within the limits, whose expected T30 is nearest to ``t30_s``."""

    def alphas(factor: float) -> Array:
        return np.clip(shape * factor, *limits)

    def off(log_factor: float) -> float:
        found = expected_t30_s(dims_m, alphas(float(np.exp(log_factor))), air_per_m, widths)
        return float(np.log(found / t30_s))

    low, high = np.log(limits[0] / shape.max()), np.log(limits[1] / shape.min())
    if off(low) <= 0:
        return alphas(float(np.exp(low)))
    if off(high) >= 0:
        return alphas(float(np.exp(high)))
    return alphas(float(np.exp(optimize.brentq(off, low, high, xtol=1e-3))))
