"""The cells of a grid: which values each row has, and what its clip sounds like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.grid.reading import Factor
from tasks.synthesize_grid import tones
from tasks.synthesize_grid.spec import NOMINAL, RANGES, FactorValues, Settings

CACHE_BYTES = 48_000_000
"""Tones and envelopes that are kept for the next clips."""


def values_of(name: str, given: FactorValues) -> tuple[float | str, ...]:
    """Return a factor's values one by one; evenly spaced ones as ``numpy.linspace`` or ``numpy.geomspace`` has them."""
    if given.values:
        return given.values if name in NOMINAL else tuple(float(value) for value in given.values)
    assert given.start is not None and given.stop is not None
    space = np.geomspace if given.scale == "log" else np.linspace
    return tuple(float(value) for value in space(given.start, given.stop, given.num))


def factors_of(settings: Settings) -> list[Factor]:
    """Return the factors of a grid in row order, the outermost first."""
    return [
        Factor(name, "nominal" if name in NOMINAL else "continuous", RANGES.get(name, ("",))[0], values_of(name, given))
        for name, given in settings.resolved().items()
    ]


class Cells:
    """Rows of a full product in row order: the last factor changes fastest."""

    def __init__(self, factors: list[Factor]) -> None:
        self.factors = factors
        self.shape = tuple(len(factor.values) for factor in factors)
        self.clips = math.prod(self.shape)

    def columns(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """Return the factors of rows ``start`` to ``stop``: class numbers (int64) or values (float64), one array per factor."""
        places = np.unravel_index(np.arange(start, stop), self.shape)
        found: dict[str, npt.NDArray[Any]] = {}
        for factor, place in zip(self.factors, places, strict=True):
            nominal = factor.kind == "nominal"
            found[factor.name] = place.astype(np.int64) if nominal else np.asarray(factor.values, np.float64)[place]
        return found


def named(factors: list[Factor], columns: dict[str, npt.NDArray[Any]]) -> pd.DataFrame:
    """Return rows with names for class numbers, as they stand beside the sounds."""
    names = {factor.name: np.asarray(factor.values, dtype=object) for factor in factors if factor.kind == "nominal"}
    return pd.DataFrame({name: names[name][column] if name in names else column for name, column in columns.items()})


class Renderer:
    """Makes clips of a grid; what neighbouring rows share (the tone, the envelope) is computed once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cells = Cells(factors_of(settings))
        self._kept: dict[tuple[Any, ...], tones.Signal] = {}
        self._limit = max(8, CACHE_BYTES // (8 * settings.samples))

    def block(self, start: int, stop: int, kind: type[np.floating[Any]] = np.float32) -> npt.NDArray[Any]:
        """Return the clips of rows ``start`` to ``stop``, rounded once from double precision: [clips, samples]."""
        columns = self.cells.columns(start, stop)
        lists = [
            [factor.values[number] for number in columns[factor.name]] if factor.kind == "nominal" else columns[factor.name].tolist()
            for factor in self.cells.factors
        ]
        made = np.empty((stop - start, self.settings.samples), kind)
        for place, values in zip(made, zip(*lists, strict=True), strict=True):
            self._clip(dict(zip(columns, values, strict=True)), place)
        return made

    def _clip(self, row: dict[str, Any], place: npt.NDArray[Any]) -> None:
        """Write one clip into ``place``."""
        tone = self._tone(float(row["frequency"]), float(row.get("phase", 0.0)), str(row["waveform"]), float(row.get("duty", 0.5)))
        if len(row) == 3:  # the published grid: nothing but a gain
            np.multiply(tone, row["amplitude"], out=place, casting="same_kind")
            return
        length = len(place) if "duration" not in row else max(1, round(row["duration"] * self.settings.sample_rate_hz))
        sound = row["amplitude"] * tone[:length]
        if "envelope" in row:
            sound = sound * self._envelope(str(row["envelope"]), length)
        if "noise" in row:
            sound = sound + tones.noise_for(sound, row["noise"], self.settings.seed, row)
        place[:length], place[length:] = sound, 0.0

    def _tone(self, frequency_hz: float, phase_deg: float, waveform: str, duty: float) -> tones.Signal:
        """Return a clip's waveform at amplitude 1."""
        s, key = self.settings, (frequency_hz, phase_deg, waveform, duty if waveform == "square" else None)
        if key not in self._kept:
            angles_key = (frequency_hz, phase_deg)
            if angles_key not in self._kept:
                self._keep(angles_key, tones.angle(frequency_hz, phase_deg, s.samples, s.sample_rate_hz, s.legacy_time_axis))
            angles = self._kept[angles_key]
            if s.oscillator == "naive":
                self._keep(key, tones.naive(waveform, angles, duty))
            else:
                self._keep(key, tones.band_limited(waveform, angles, frequency_hz, s.sample_rate_hz, duty))
        return self._kept[key]

    def _envelope(self, name: str, length: int) -> tones.Signal:
        key = ("envelope", name, length)
        if key not in self._kept:
            self._keep(key, tones.envelope(name, length, self.settings.sample_rate_hz))
        return self._kept[key]

    def _keep(self, key: tuple[Any, ...], signal: tones.Signal) -> None:
        """Remember a signal, forgetting all others when there are too many."""
        if len(self._kept) >= self._limit:
            self._kept.clear()
        self._kept[key] = signal
