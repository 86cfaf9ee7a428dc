"""Dexed's engine in dexed-py (GPL 3), by the indices of the Dexed plug-in's 155 parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from core.errors import InvalidValueError
from tasks.renderer.interface import MOST_STEPS, Audio, Note, PluginParameter, RenderSettings, clamped, imported
from tasks.renderer.plugin_files import host_version

OPERATORS = 6
VOICE_BYTES = 156
NAME_AT, SWITCHES_AT = 145, 155
NOWHERE = -1


class Field(NamedTuple):
    """A parameter of the plug-in and its place in a DX7's voice data."""

    name: str
    steps: int
    """Values, 0 … steps − 1; 0: continuous."""
    byte: int
    """Place in the unpacked 155 bytes of Yamaha's format; :data:`NOWHERE` if the DX7 has no such thing."""
    default: int = 0


def _operator(number: int) -> list[Field]:
    """Return the 22 parameters of operator 1 … 6; in the voice data the sixth comes first, with 21 bytes each."""
    base, name = (OPERATORS - number) * 21, f"OP{number}"
    rates = [Field(f"{name} EG RATE {k + 1}", 100, base + k, 99) for k in range(4)]
    levels = [Field(f"{name} EG LEVEL {k + 1}", 100, base + 4 + k, 0 if k == 3 else 99) for k in range(4)]
    return [
        *rates, *levels, Field(f"{name} OUTPUT LEVEL", 100, base + 16, 99 if number == 1 else 0), Field(f"{name} MODE", 2, base + 17),
        Field(f"{name} F COARSE", 32, base + 18, 1), Field(f"{name} F FINE", 100, base + 19), Field(f"{name} OSC DETUNE", 15, base + 20, 7),
        Field(f"{name} BREAK POINT", 100, base + 8, 39), Field(f"{name} L SCALE DEPTH", 100, base + 9),
        Field(f"{name} R SCALE DEPTH", 100, base + 10), Field(f"{name} L KEY SCALE", 4, base + 11),
        Field(f"{name} R KEY SCALE", 4, base + 12), Field(f"{name} RATE SCALING", 8, base + 13), Field(f"{name} A MOD SENS.", 4, base + 14),
        Field(f"{name} KEY VELOCITY", 8, base + 15), Field(f"{name} SWITCH", 2, NOWHERE, 1),
    ]  # fmt: skip


FIELDS = (
    Field("Cutoff", 0, NOWHERE, 1), Field("Resonance", 0, NOWHERE), Field("Output", 0, NOWHERE, 1),
    Field("MASTER TUNE ADJ", 0, NOWHERE), Field("ALGORITHM", 32, 134), Field("FEEDBACK", 8, 135), Field("OSC KEY SYNC", 2, 136, 1),
    Field("LFO SPEED", 100, 137, 35), Field("LFO DELAY", 100, 138), Field("LFO PM DEPTH", 100, 139), Field("LFO AM DEPTH", 100, 140),
    Field("LFO KEY SYNC", 2, 141), Field("LFO WAVE", 6, 142, 4), Field("MIDDLE C", 49, 144, 24), Field("P MODE SENS.", 8, 143),
    *(Field(f"PITCH EG RATE {k + 1}", 100, 126 + k, 99) for k in range(4)),
    *(Field(f"PITCH EG LEVEL {k + 1}", 100, 130 + k, 50) for k in range(4)),
    *(field for number in range(1, OPERATORS + 1) for field in _operator(number)),
)  # fmt: skip
"""All parameters in the plug-in's order, with the values of a DX7's initial voice."""


def voice(raw: Mapping[int, float]) -> bytes:
    """Return the 156 bytes of voice data (one operator's switches last) of raw values by the plug-in's index; initial voice elsewhere.

    A raw value becomes the nearest step. Cut-off, resonance, output level and tuning belong to the plug-in around the engine and have no
    effect here; an operator that is switched off has its output level at 0, which is as silent.
    """
    data = bytearray(VOICE_BYTES)
    data[NAME_AT:SWITCHES_AT] = b"PRESET".ljust(SWITCHES_AT - NAME_AT)
    data[SWITCHES_AT] = 0x3F
    numbers = {index: round(raw[index] * (one.steps - 1)) if index in raw else one.default for index, one in enumerate(FIELDS) if one.steps}
    for index, number in numbers.items():
        if FIELDS[index].byte != NOWHERE:
            data[FIELDS[index].byte] = number
    for operator in range(1, OPERATORS + 1):
        if not numbers[_index(f"OP{operator} SWITCH")]:
            data[FIELDS[_index(f"OP{operator} OUTPUT LEVEL")].byte] = 0
    return bytes(data)


def _index(name: str) -> int:
    return next(index for index, one in enumerate(FIELDS) if one.name == name)


class DexedEngine:
    """The engine alone: mono, the same samples in every process."""

    def __init__(self, plugin: str, settings: RenderSettings) -> None:
        if plugin:
            hint = "the plug-in itself is hosted by pedalboard (VST3) or dawdreamer"
            raise InvalidValueError("takes no plug-in", where="renderer.dexed", allowed="nothing", received=plugin, hint=hint)
        self._dexed = imported("dexed", "dexed-py")
        self.settings = settings
        self._synth = self._dexed.DexedSynth(settings.sample_rate_hz)

    def parameters(self) -> list[PluginParameter]:
        """Return the plug-in's 155 parameters."""
        found = []
        for index, one in enumerate(FIELDS):
            default = one.default / max(1, one.steps - 1)
            steps = one.steps if one.steps <= MOST_STEPS else 0
            found.append(PluginParameter(index, one.name, default, steps, tuple(str(k) for k in range(steps))))
        return found

    def render(self, raw: Mapping[int, float], note: Note) -> Audio:
        """Play a note: float32 [1, samples]."""
        values = clamped(raw, dict(enumerate(FIELDS)))
        self._synth.load_patch(self._dexed.Patch.from_sysex(voice(values)))
        duration_s = (self.settings.samples + 0.5) / self.settings.sample_rate_hz
        return np.asarray(self._synth.render(note.pitch, note.velocity, note.hold_s, duration_s), np.float32)[None]

    def identity(self) -> dict[str, Any]:
        """Return the engine."""
        return {"backend": "dexed", "name": "Dexed", "host": host_version("dexed-py"), "channels": 1}
