"""VST3 instruments in pedalboard (GPL 3). What its calls hide is told in docs/renderer.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from core.errors import InvalidValueError
from tasks.renderer.interface import (
    MOST_STEPS,
    PSEUDO,
    Audio,
    Note,
    PluginParameter,
    RenderSettings,
    clamped,
    imported,
    is_pseudo,
    told_apart,
)
from tasks.renderer.plugin_files import existing, file_identity, host_version

CHANNELS = re.compile(r"and (\d+) output channels")
"""In pedalboard's complaint about a wrong number of channels, the only place where it tells the right one."""


class PedalboardHost:
    """One VST3 instrument."""

    def __init__(self, plugin: str, settings: RenderSettings) -> None:
        host = imported("pedalboard", "pedalboard")
        self.path, self.settings = existing(plugin, "renderer.pedalboard", "a VST3 bundle, X.vst3"), settings
        _ignore_pseudo_parameters(host, settings)
        try:
            self._plugin = host.VST3Plugin(
                str(self.path), plugin_name=settings.plugin_name or None, initialization_timeout=settings.initialization_timeout_s
            )
        except (ImportError, ValueError) as error:
            hint = "pedalboard hosts VST3 only; for VST2 and LV2 there is dawdreamer"
            where = "renderer.pedalboard"
            raise InvalidValueError("cannot be loaded", where=where, allowed="a VST3 instrument", received=str(error), hint=hint) from error
        if not self._plugin.is_instrument:
            raise InvalidValueError("no instrument", where="renderer.pedalboard", allowed="a synthesiser", received=self._plugin.name)
        self._known = {one.index: one for one in self._described()}
        self._channels = self._asked_channels()

    def parameters(self) -> list[PluginParameter]:
        """Return the parameters as after loading."""
        return list(self._known.values())

    def _described(self) -> list[PluginParameter]:
        found = []
        for index, one in enumerate(self._plugin._parameters):
            if is_pseudo(one.name, self.settings):
                continue
            # Whether is_discrete or is_boolean is set says nothing, see the document; the number of steps does.
            steps = one.num_steps if 2 <= one.num_steps <= MOST_STEPS else 0
            labels = tuple(one.get_text_for_raw_value(k / (steps - 1)) for k in range(steps)) if steps else ()
            found.append(PluginParameter(index, one.name, float(one.raw_value), steps, labels, unit=one.label))
        return told_apart(found)

    def _asked_channels(self) -> int:
        """Return the number of output channels, 2 if the plug-in takes them."""
        try:
            self._play(Note(hold_s=0.001), 2, 0.01)
        except ValueError as error:
            found = CHANNELS.search(str(error))
            if not found:
                raise
            return int(found[1])
        return 2

    def render(self, raw: Mapping[int, float], note: Note) -> Audio:
        """Play a note on a new instance, or on the same one if the settings say so: float32 [channels, samples]."""
        values = {index: one.default for index, one in self._known.items()} | clamped(raw, self._known)
        # Every render replaces the plug-in, and a parameter of the one before is a dangling pointer: fetched anew, dropped before playing.
        handles = self._plugin._parameters
        for index, value in values.items():
            handles[index].raw_value = value
        del handles
        # Half a sample more, since pedalboard cuts the fraction off.
        return self._play(note, self._channels, (self.settings.samples + 0.5) / self.settings.sample_rate_hz)

    def _play(self, note: Note, channels: int, duration_s: float) -> Audio:
        midi = [(bytes([0x90, note.pitch, note.velocity]), 0.0), (bytes([0x80, note.pitch, 0]), note.hold_s)]
        played = self._plugin(
            midi, duration=duration_s, sample_rate=self.settings.sample_rate_hz, num_channels=channels,
            buffer_size=self.settings.buffer_samples, reset=self.settings.fresh,
        )  # fmt: skip
        return np.asarray(played, np.float32)

    def identity(self) -> dict[str, Any]:
        """Return the plug-in and its host."""
        told = {"name": self._plugin.name, "version": self._plugin.version, "maker": self._plugin.manufacturer_name}
        return {"backend": "pedalboard", **told, **file_identity(self.path), "host": host_version("pedalboard"), "channels": self._channels}


def _ignore_pseudo_parameters(host: Any, settings: RenderSettings) -> None:
    """Keep pedalboard from asking every MIDI controller in disguise for 1,001 texts while it loads: 0.1 s instead of 10.

    The list is private to pedalboard. Where a later version has none, loading is slow and nothing else.
    """
    patterns = getattr(getattr(host, "_pedalboard", None), "PARAMETER_NAME_REGEXES_TO_IGNORE", None)
    if isinstance(patterns, set):
        patterns.update(re.compile(pattern) for pattern in (*PSEUDO, *settings.ignored))
