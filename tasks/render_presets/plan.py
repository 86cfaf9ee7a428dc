"""Which presets a set is made of: drawn ones by number, or those made by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.context import Context
from tasks.presets import draws, hand_crafted, library
from tasks.presets.hand_crafted import HandCrafted
from tasks.presets.parameters import SynthSpec, Values
from tasks.render_presets.spec import Settings
from tasks.renderer.interface import Note

DRAFT, PROBED = "spec.json", "synth.json"
"""Files of probe_synth."""
NOTE_STREAM = 0x6E6F7465
"""Added to the seed for what note a preset is played with, so that it does not hang on what is drawn for its parameters."""


class Plan(Protocol):
    """Presets by number."""

    spec: SynthSpec
    """Of the synthesiser."""
    numbers: range
    """Of the presets."""

    def values(self, numbers: range) -> Values:
        """Return presets [numbers, used] as first tried."""

    def again(self, number: int, attempt: int) -> Values | None:
        """Return a preset's values for another try (1, 2, …), or none if there is only one."""

    def note(self, number: int) -> Note:
        """Return the note that a preset is played with."""


class Drawn:
    """Presets drawn at random."""

    def __init__(self, settings: Settings, spec: SynthSpec) -> None:
        self.spec, self._settings = spec, settings
        self.numbers = range(settings.first, settings.first + settings.n)

    def values(self, numbers: range) -> Values:
        """See :class:`Plan`."""
        return self.spec.sample(self._settings.seed, numbers.start, numbers.stop)

    def again(self, number: int, attempt: int) -> Values | None:
        """See :class:`Plan`."""
        return self.spec.redraw(self._settings.seed, number, attempt) if attempt < self._settings.max_tries else None

    def note(self, number: int) -> Note:
        """See :class:`Plan`."""
        return chosen_note(self._settings, number)


class Given:
    """Presets made by hand; what plays them hangs on their values, not on their place in a file."""

    def __init__(self, settings: Settings, spec: SynthSpec, presets: HandCrafted) -> None:
        self.spec, self.presets, self._settings = spec, presets, settings
        self.numbers = range(len(presets.names))

    def values(self, numbers: range) -> Values:
        """See :class:`Plan`."""
        return self.presets.values[numbers.start : numbers.stop]

    def again(self, number: int, attempt: int) -> Values | None:
        """See :class:`Plan`; there is only one try."""
        return None

    def note(self, number: int) -> Note:
        """See :class:`Plan`."""
        digest = hashlib.sha256(self.presets.values[number].tobytes()).digest()
        return chosen_note(self._settings, int.from_bytes(digest[:8], "big"))


def chosen_note(settings: Settings, identity: int) -> Note:
    """Return one of the notes and one of the velocities, by the set's seed and a preset's identity."""
    if len(settings.notes) == len(settings.velocities) == 1:
        return Note(settings.notes[0], settings.velocities[0], settings.hold_s)
    places = draws.uniform(settings.seed + NOTE_STREAM, np.asarray([identity], np.uint64), 2)[0]
    note = settings.notes[int(places[0] * len(settings.notes))]
    return Note(note, settings.velocities[int(places[1] * len(settings.velocities))], settings.hold_s)


def spec_of(settings: Settings, context: Context) -> SynthSpec:
    """Return the spec that the settings name."""
    if not settings.spec:
        return library.load_spec(settings.synth)
    path = context.locate(settings.spec)
    return library.load_spec(path / DRAFT if path.is_dir() else path)


def repeatability(settings: Settings, context: Context) -> Any:
    """Return what probe_synth found of the plug-in's repeatability, if the settings name its folder; otherwise none."""
    told = context.locate(settings.spec) / PROBED if settings.spec else None
    return json.loads(told.read_text()).get("repeatability") if told and told.is_file() else None


def plan_of(settings: Settings, context: Context) -> Drawn | Given:
    """Return what the settings ask for."""
    spec = spec_of(settings, context)
    if not settings.presets:
        return Drawn(settings, spec)
    raw = hand_crafted.read(Path(context.locate(settings.presets)))
    return Given(settings, spec, hand_crafted.fitted(spec, raw, settings.missing, settings.excluded))
