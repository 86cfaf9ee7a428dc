"""VST2, VST3, LV2 and Faust instruments in DawDreamer (GPL 3)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InvalidValueError
from tasks.renderer.interface import MOST_STEPS, Audio, Note, PluginParameter, RenderSettings, clamped, imported, is_pseudo, told_apart
from tasks.renderer.plugin_files import existing, file_identity, host_version

VOICES = 8
"""Of a Faust synthesiser."""
SEARCH_STEPS = 1000
"""Raw values that a plug-in is asked to name, to find a parameter's steps."""


class DawDreamerHost:
    """One instrument in one engine. A new instance for each preset, or the same one if the settings say so."""

    clears_itself = False
    """Whether nothing is left of a preset when the next one is rendered on the same instance."""

    def __init__(self, plugin: str, settings: RenderSettings) -> None:
        self._host = imported("dawdreamer", "dawdreamer")
        self.settings = settings
        self._is_uri = "://" in plugin or plugin.startswith("urn:")
        self.path = None if self._is_uri else existing(plugin, "renderer.dawdreamer", "a VST2 .so, X.vst3, an LV2 URI, or Faust's X.dsp")
        self._plugin = plugin if self.path is None else str(self.path)
        self._engine = self._host.RenderEngine(settings.sample_rate_hz, settings.buffer_samples)
        self._numbers = itertools.count()
        self._instance = self._made()
        self._known = {one.index: one for one in self._described()}

    def _made(self) -> Any:
        """Return a new instance."""
        raise NotImplementedError

    def _described(self) -> list[PluginParameter]:
        raise NotImplementedError

    def _native(self, index: int, raw: float) -> float:
        """Return what the host wants to hear for a raw value."""
        return raw

    def parameters(self) -> list[PluginParameter]:
        """Return the parameters as after loading."""
        return list(self._known.values())

    def render(self, raw: Mapping[int, float], note: Note) -> Audio:
        """Play a note: float32 [channels, samples]."""
        values = {index: one.default for index, one in self._known.items()} | clamped(raw, self._known)
        if self.settings.fresh and not self.clears_itself:
            self._instance = self._made()
        one = self._instance
        for index, value in values.items():
            one.set_parameter(index, self._native(index, value))
        one.clear_midi()
        one.add_midi_note(note.pitch, note.velocity, 0.0, note.hold_s)
        self._engine.load_graph([(one, [])])
        # Half a sample more, so that rounding cannot lose the last one.
        self._engine.render((self.settings.samples + 0.5) / self.settings.sample_rate_hz)
        return np.asarray(self._engine.get_audio(), np.float32)

    def identity(self) -> dict[str, Any]:
        """Return the plug-in and its host."""
        told = {"uri": self._plugin} if self.path is None else {"name": self.path.stem, **file_identity(self.path)}
        return {"backend": "dawdreamer", **told, "host": host_version("dawdreamer")}


class HostedPlugin(DawDreamerHost):
    """A VST2, VST3 or LV2 instrument."""

    def _made(self) -> Any:
        try:
            return self._engine.make_plugin_processor(f"synth{next(self._numbers) % 2}", self._plugin)
        except RuntimeError as error:
            hint = "LV2 plug-ins go by URI (http://…), others by path"
            where = "renderer.dawdreamer"
            raise InvalidValueError("cannot be loaded", where=where, allowed="an instrument", received=str(error), hint=hint) from error

    def _described(self) -> list[PluginParameter]:
        found = []
        for told in self._instance.get_parameters_description():
            if not is_pseudo(told["name"], self.settings):
                index = int(told["index"])
                # VST2 knows neither steps nor defaults: steps are found by their texts, defaults are what is set after loading.
                ranges = self._instance.get_parameter_range(index, SEARCH_STEPS, False)
                found.append(_stepped(index, told, self._instance.get_parameter(index), ranges))
        return told_apart(found)


def _stepped(index: int, told: Mapping[str, Any], default: float, ranges: Mapping[tuple[float, float], str]) -> PluginParameter:
    """Return a parameter with the steps that its texts show: {(first raw value, first of the next step): text}."""
    places = sorted(ranges)
    if not 2 <= len(places) <= MOST_STEPS:
        return PluginParameter(index, told["name"], float(default), unit=told["label"])
    grid = [k / (len(places) - 1) for k in range(len(places))]
    # The exact grid where each of its values lies within its own step, otherwise the middles of the steps.
    fits = all(low <= value <= high for value, (low, high) in zip(grid, places, strict=True))
    values = () if fits else tuple((low + high) / 2 for low, high in places)
    return PluginParameter(
        index, told["name"], float(default), len(places), tuple(ranges[place] for place in places), values, told["label"]
    )


class FaustSynth(DawDreamerHost):
    """A Faust program with ``freq``, ``gain`` and ``gate``, compiled at loading; raw values span each control's range."""

    clears_itself = True  # delay lines and random numbers too; a second compilation in one engine would fail

    def _made(self) -> Any:
        one = self._engine.make_faust_processor("synth")
        one.set_dsp_string(Path(self._plugin).read_text())
        one.num_voices = VOICES
        if not one.compile():
            raise InvalidValueError("does not compile", where="renderer.dawdreamer", allowed="a Faust program", received=self._plugin)
        return one

    def _described(self) -> list[PluginParameter]:
        found, self._ranges = [], {}
        for told in self._instance.get_parameters_description():
            index, low, high = int(told["index"]), float(told["min"]), float(told["max"])
            self._ranges[index] = (low, high)
            steps = int(told["numSteps"]) if told["isDiscrete"] and 2 <= int(told["numSteps"]) <= MOST_STEPS else 0
            labels = tuple(f"{low + k * (high - low) / (steps - 1):g}" for k in range(steps)) if steps else ()
            default = (float(told["value"]) - low) / (high - low) if high > low else 0.0
            found.append(PluginParameter(index, str(told["name"]).rsplit("/", 1)[-1], default, steps, labels))
        return told_apart(found)

    def _native(self, index: int, raw: float) -> float:
        low, high = self._ranges[index]
        return low + raw * (high - low)
