"""Estimated presets played by the synthesiser that the training sounds came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.contract import build
from core.errors import InvalidValueError
from tasks.presets.parameters import SynthSpec, Values
from tasks.presets.reading import MUST_AGREE
from tasks.renderer.interface import Note, RenderSettings
from tasks.renderer.pool import Job, Pool

TIMEOUT_S = 30.0
HOST_SETTINGS = "settings"
"""Entry of a set's plug-in that ``render_presets`` adds; the others are what the pool says of itself."""
MADE = (*MUST_AGREE, "timeout_s")
"""Entries of a preset set's ``presets.json`` that are needed to play other presets the same way."""


def circumstances(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a set's sounds were made, of its ``presets.json``."""
    return {name: meta[name] for name in MADE if name in meta}


@dataclass
class Studio:
    """A synthesiser, ready to play presets.

    Args:
        spec: of the synthesiser.
        made: how sounds are made.
        pool: that plays them.
    """

    spec: SynthSpec
    made: Mapping[str, Any]
    pool: Pool

    def render(
        self, presets: Values, notes: Sequence[Note] | None = None
    ) -> Iterator[tuple[npt.NDArray[np.float32] | None, str]]:  # fmt: skip
        """Yield the sound [T] of each preset [B, used], or none, and why not.

        Args:
            presets: to play.
            notes: one for each; by default the first note of the set.
        """
        indices = [one.index for one in self.spec.parameters]
        notes = notes or [self.first_note] * len(presets)
        rows = self.spec.full(presets)
        jobs = (
            Job(number, dict(zip(indices, row.tolist(), strict=True)), note)
            for number, (row, note) in enumerate(zip(rows, notes, strict=True))
        )
        for outcome in self.pool.render(jobs):
            yield outcome.audio, outcome.reason or outcome.status

    @property
    def first_note(self) -> Note:
        """Return the set's first note and velocity."""
        midi = self.made["midi"]
        return Note(midi["notes"][0], midi["velocities"][0], midi["hold_s"])

    def note(self, pitch: int, velocity: int) -> Note:
        """Return a note as long as the set's."""
        return Note(int(pitch), int(velocity), self.made["midi"]["hold_s"])


@contextmanager
def open_studio(spec: SynthSpec, made: Mapping[str, Any], plugin: str, workers: int) -> Iterator[Studio]:
    """Open the synthesiser that sounds were made with.

    Args:
        spec: of it.
        made: how sounds were made; see :func:`circumstances`.
        plugin: file or identifier of the plug-in, where the back end needs one.
        workers: processes.

    Raises:
        InvalidValueError: it is another plug-in, or another version of it.
    """
    backend = made["backend"]
    identity = {name: value for name, value in made["plugin"].items() if name != HOST_SETTINGS}
    if backend == "builtin" and not plugin:
        plugin = identity["name"]
    settings = build(RenderSettings, identity["render"], "presets.json.plugin.render")
    with Pool(backend, plugin, settings, workers, made.get("timeout_s", TIMEOUT_S)) as pool:
        found = pool.identity()
        if found != identity:
            differing = {name: found.get(name) for name in {*found, *identity} if found.get(name) != identity.get(name)}
            allowed = {name: identity.get(name) for name in differing}
            raise InvalidValueError("another plug-in than the sounds were made with", where="sound_matching.plugin", allowed=allowed,
                                    received=differing, hint="name the same plug-in, or render the presets again")  # fmt: skip
        yield Studio(spec, made, pool)
