"""The project's own synthesiser as a back end: no plug-in, no package beside torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.renderer.interface import Audio, Note, PluginParameter, RenderSettings, clamped, imported
from tasks.renderer.plugin_files import host_version

DEFAULT = 0.5
"""Raw value of every parameter that is not set."""


class BuiltinVoice:
    """A synthesiser of ``tasks/synthesiser``: ``voice`` (also for an empty name), ``voicefm`` or ``parametric``.

    The note decides on the keyboards' parameters, which are there and have no effect; velocity scales the sound by velocity / 127. Its
    noise is the same for every preset.
    """

    def __init__(self, plugin: str, settings: RenderSettings) -> None:
        self._torch = imported("torch", "torch")
        from tasks.synthesiser import build

        self._torch.set_num_threads(1)
        self.settings = settings
        self._synth = build(plugin or "voice", settings.sample_rate_hz, settings.duration_s)
        self._names = [one.name for one in self._synth.parameters]

    def parameters(self) -> list[PluginParameter]:
        """Return the synthesiser's parameters in unit values, all continuous."""
        return [PluginParameter(index, name, DEFAULT) for index, name in enumerate(self._names)]

    def render(self, raw: Mapping[int, float], note: Note) -> Audio:
        """Play a note: float32 [1, samples]."""
        torch = self._torch
        unit = torch.full((1, len(self._names)), DEFAULT)
        for index, value in clamped(raw, dict(enumerate(self._names))).items():
            unit[0, index] = value
        keyed = {"midi_f0": float(note.pitch), "duration": note.hold_s}
        human = self._synth.to_human(unit)
        places = [place for place, name in enumerate(self._names) if _is_key(name)]
        for place in places:
            one = self._synth.parameters[place]
            human[0, place] = min(one.high, max(one.low, keyed[one.name.rsplit(".", 1)[-1]]))
        # Only these go to human values and back: the way is not exact.
        unit[:, places] = self._synth.to_unit(human)[:, places]
        with torch.no_grad():
            audio = self._synth.render(unit, [0])
        return np.asarray(audio.numpy() * (note.velocity / 127), np.float32)

    def identity(self) -> dict[str, Any]:
        """Return the synthesiser."""
        return {"backend": "builtin", "name": self._synth.name, "host": host_version("torch"), "channels": 1}


def _is_key(name: str) -> bool:
    """Whether the note decides on a parameter."""
    return name.startswith("keyboard") and name.endswith((".midi_f0", ".duration"))
