"""amsynth's bank files: text with native values, of which older files lack five parameters."""

from __future__ import annotations

import math

from core.errors import InvalidValueError
from tasks.presets.raw_preset import RawPreset

HEAD = b"amSynth"
NATIVE: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("amp_attack", "amp_decay", "amp_release", "filter_attack", "filter_decay", "filter_release"), (0.0, 2.5)),
    **dict.fromkeys(("osc1_waveform", "osc2_waveform", "filter_type"), (0.0, 4.0)), "filter_resonance": (0.0, 0.97),
    "filter_env_amount": (-16.0, 16.0), "filter_cutoff": (-0.5, 1.5), "osc2_detune": (-1.0, 1.0), "lfo_freq": (0.0, 7.5),
    "lfo_waveform": (0.0, 6.0), "osc2_range": (-3.0, 4.0), "osc_mix": (-1.0, 1.0), "freq_mod_amount": (0.0, 1.25992105),
    "filter_mod_amount": (-1.0, 1.0), "amp_mod_amount": (-1.0, 1.0), "distortion_crunch": (0.0, 0.9), "keyboard_mode": (0.0, 2.0),
    "osc2_pitch": (-12.0, 12.0), "freq_mod_osc": (0.0, 2.0),
}  # fmt: skip
"""Lowest and highest native value, as the plug-in of amsynth 1.13 states them; all others go from 0 to 1."""


def is_bank(data: bytes) -> bool:
    """Whether a file's bytes are an amsynth bank."""
    return data.startswith(HEAD)


def to_raw(name: str, native: float) -> float:
    """Return the plug-in's value, 0 … 1, of a native one; what lies beyond the range counts as its end, as in amsynth."""
    low, high = NATIVE.get(name, (0.0, 1.0))
    return min(max((native - low) / (high - low), 0.0), 1.0) if math.isfinite(native) else native


def read(data: bytes, where: str) -> list[RawPreset]:
    """Return the presets of a bank.

    Args:
        data: the file's bytes.
        where: its name, for the presets' names.

    Raises:
        InvalidValueError: a line that no bank has.
    """
    found: list[tuple[str, dict[str, float]]] = []
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words or line.startswith("amSynth"):
            continue
        if words[0] == "EOF":
            break
        if words[:2] == ["<preset>", "<name>"]:
            found.append((" ".join(words[2:]), {}))
        elif words[0] == "<parameter>" and len(words) == 3 and found:
            found[-1][1][words[1]] = _number(words[2], f"{where}:{number}")
        else:
            raise InvalidValueError(
                "not a line of a bank", where=f"{where}:{number}", allowed="<preset> or <parameter>", received=line[:60]
            )
    return [
        RawPreset(f"{where} {place:03d} {name}".rstrip(), {name: to_raw(name, value) for name, value in natives.items()})
        for place, (name, natives) in enumerate(found, start=1)
        if natives
    ]


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidValueError("not a number", where=where, allowed="a number", received=text) from error
