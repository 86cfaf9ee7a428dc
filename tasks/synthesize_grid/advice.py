"""What a user of a grid must know, worked out from its factors: unidentifiable timbre, silence, duplicates, aliasing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.grid.reading import Factor
from tasks.synthesize_grid.tones import harmonics_below_nyquist, partials

FEW_PARTIALS = 64
"""Harmonics that are looked at for a waveform's first overtone."""


def first_overtone(waveform: str, duties: Sequence[float] = (0.5,)) -> int | None:
    """Return the number of the first harmonic above the fundamental that a waveform has (with any of the duties), none for a sine."""
    found = []
    for duty in duties if waveform == "square" else (0.5,):
        _, of_cos, of_sin = partials(waveform, FEW_PARTIALS, duty)
        there = np.flatnonzero(np.hypot(of_cos, of_sin)[1:] > 1e-9)
        found += [int(there[0]) + 2] if len(there) else []
    return min(found) if found else None


def without_overtone(factors: Sequence[Factor], rate_hz: int) -> dict[str, float]:
    """Return by waveform the share of the frequencies at which it has no second partial below half the sample rate."""
    values = {factor.name: factor.values for factor in factors}
    overtones = {str(name): first_overtone(str(name), _numbers(values.get("duty", (0.5,)))) for name in values["waveform"]}
    highest = np.array([harmonics_below_nyquist(float(hz), rate_hz) for hz in values["frequency"]])
    return {name: 1.0 if k is None else float(np.mean(highest < k)) for name, k in overtones.items()}


def ambiguous_share(factors: Sequence[Factor], rate_hz: int) -> float:
    """Return the share of the frequencies at which two waveforms or more have no second partial: their spectra are then one line each."""
    bare = sorted(without_overtone(factors, rate_hz).values(), reverse=True)
    return bare[1] if len(bare) > 1 else 0.0


def warnings(factors: Sequence[Factor], rate_hz: int, oscillator: str, legacy_time_axis: bool, silent: int, clips: int) -> list[str]:
    """Return what is to be said about a grid, one sentence or two each.

    Args:
        factors: of the grid.
        rate_hz: sample rate.
        oscillator: ``band_limited``, or anything else for clips that alias.
        legacy_time_axis: whether the time axis includes the end point.
        silent: number of clips without sound.
        clips: number of all clips.
    """
    values = {factor.name: factor.values for factor in factors}
    said = _about_timbre(factors, rate_hz, oscillator)
    if legacy_time_axis:
        top = max(_numbers(values["frequency"]))
        said.append(
            "legacy_time_axis: the time axis includes its end point, so every pitch is higher by samples / (samples − 1)"
            + (f"; the highest, {top:g} Hz, then lies above half the sample rate." if 2 * top >= rate_hz else ".")
        )
    if silent:
        said.append(f"{silent} of {clips} clips are silent (an exact sine at half the sample rate, an amplitude of 0, or no partial left).")
    if len(values.get("duty", ())) > 1:
        same = [str(name) for name in values["waveform"] if name != "square"]
        if same:
            said.append(f"duty changes the square only: clips of {', '.join(same)} that differ in nothing else are the same sound.")
    if {0.0, 360.0} <= set(values.get("phase", ())):
        said.append("phase holds both 0° and 360°, which are the same.")
    return said


def _about_timbre(factors: Sequence[Factor], rate_hz: int, oscillator: str) -> list[str]:
    """Return the warning about timbre, if there is one to give."""
    share = ambiguous_share(factors, rate_hz)
    if not share:
        return []
    bare = without_overtone(factors, rate_hz)
    listed = ", ".join(f"{name} {part:.0%}" for name, part in bare.items())
    said = (
        f"Timbre is not identifiable from the spectrum below {rate_hz / 2:g} Hz at {share:.0%} of the frequencies: two waveforms or "
        f"more have no second partial there (by waveform: {listed} of the frequencies)."
    )
    if oscillator == "band_limited":
        return [f"{said} Such clips differ in level and phase only. Lower the highest frequency."]
    return [f"{said} There it is identifiable by aliasing only. Lower the highest frequency, or treat scores of the waveform with care."]


def _numbers(values: Sequence[float | str]) -> list[float]:
    return [float(value) for value in values]
