"""What is embedded: the clips of a manifest, or the tones of a grid whose factors are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.grid.reading import DESCRIPTION, Grid

CONCERT_HZ, CONCERT_NOTE = 440.0, 69.0
GRID_FOLDS = 5


class Clips(Protocol):
    """What the stage asks for."""

    table: pd.DataFrame
    """A row for each clip, by clip_id, with the manifest's columns that are kept."""

    def sound(self, row: dict[str, Any], sample_rate_hz: int) -> audio.Samples:
        """Return a row's sound [samples], mono, at a rate."""


class Recorded:
    """The accepted clips of a manifest."""

    def __init__(self, folder: str, context: Context) -> None:
        self.context = context
        self.table = manifest.accepted(manifest.read(context.resolve(folder))).sort_values("clip_id").reset_index(drop=True)

    def sound(self, row: dict[str, Any], sample_rate_hz: int) -> audio.Samples:
        """See :class:`Clips`."""
        return audio.load_mono(self.context.resolve(row["path"]), sample_rate_hz)


class Tones:
    """A grid of ``synthesize_grid``. The label is the waveform, if there is one; ``parameters`` has every continuous factor and ``note``.

    A combination of waveform and frequency is in one fold as a whole: tones that differ in amplitude only are nearly the same.

    Args:
        folder: of the grid.
    """

    def __init__(self, folder: Path) -> None:
        self.grid = Grid(folder)
        factors = self.grid.table()
        columns = {factor.name: factor for factor in self.grid.factors}
        rows = []
        for record in factors.to_dict("records"):
            number = int(record["index"])
            told: dict[str, float] = {name: float(record[name]) for name, factor in columns.items() if factor.kind == "continuous"}
            if "frequency" in told:
                told["note"] = CONCERT_NOTE + 12 * float(np.log2(told["frequency"] / CONCERT_HZ))
            label = str(columns["waveform"].values[int(record["waveform"])]) if "waveform" in columns else ""
            fold = str(1 + int(manifest.clip_id("fold", label, record.get("frequency", number)), 16) % GRID_FOLDS)
            rows.append({
                "clip_id": f"{number:08d}", "label": label, "split": "", "fold": fold, "origin": "synthesize_grid",
                "duration_s": self.grid.samples_per_clip / self.grid.sample_rate_hz, "parameters": json.dumps(told), "parents": [],
            })  # fmt: skip
        self.table = pd.DataFrame(rows)

    def sound(self, row: dict[str, Any], sample_rate_hz: int) -> audio.Samples:
        """See :class:`Clips`."""
        number = int(row["clip_id"])
        return audio.resample(self.grid.samples(number, number + 1)[0], self.grid.sample_rate_hz, sample_rate_hz)


def open_clips(folder: str, context: Context) -> Clips:
    """Return what a folder holds.

    Raises:
        InvalidValueError: no clips.
    """
    found: Clips = Tones(context.resolve(folder)) if (context.resolve(folder) / DESCRIPTION).is_file() else Recorded(folder, context)
    if not len(found.table):
        raise InvalidValueError("no clips", where=folder, allowed="accepted clips", received=0)
    return found
