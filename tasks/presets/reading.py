"""A preset set on disk: presets, their embeddings and sounds as memory-mapped arrays, a table with a row for each, and how it was made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from core.errors import InvalidValueError
from tasks.presets.layout import Layout
from tasks.presets.parameters import SynthSpec

if TYPE_CHECKING:
    import pandas as pd

META = "presets.json"
PARAMETERS, EMBEDDINGS, AUDIO, MEL = "parameters.npy", "embeddings.npy", "audio.npy", "mel.npy"
TABLE, REJECTED = "table.parquet", "rejected.parquet"
MUST_AGREE = ("spec_digest", "backend", "plugin", "midi", "sample_rate_hz", "duration_s", "fade_s", "audio_model")
"""Entries of :data:`META` that two sets must share for a network trained on one to mean anything on the other."""


@dataclass(frozen=True)
class PresetSet:
    """An opened preset set; arrays are memory maps, read when they are looked at."""

    folder: Path
    """Where it lies."""
    meta: dict[str, Any]
    """What :data:`META` says."""
    spec: SynthSpec
    """Of the synthesiser."""
    parameters: npt.NDArray[np.float32]
    """Presets [N, used]: raw values of numbers and switches, numbers of categories."""
    embeddings: npt.NDArray[np.float32] | None
    """[N, m], or none without an audio model."""
    audio: npt.NDArray[Any] | None
    """Sounds of the first k presets [k, T], float16 or float32, full scale ±1; or none."""
    mel: npt.NDArray[Any] | None
    """Log-mel spectrograms of the first k presets [k, 128, frames]; or none."""

    @cached_property
    def layout(self) -> Layout:
        """How a preset's row is laid out for a network."""
        return Layout(self.spec)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each preset: row, index, tries, rms, note, velocity, split, name, labels."""
        return _table(self.folder / TABLE)

    @cached_property
    def rejected(self) -> pd.DataFrame:
        """Presets that were lost: index, reason, tries, parameters as JSON."""
        return _table(self.folder / REJECTED)

    def __len__(self) -> int:
        return len(self.parameters)

    def rows(self, split: str = "") -> npt.NDArray[np.int64]:
        """Return the places of the presets of a split, ``train``, ``val`` or ``test``; all of them by default."""
        if not split:
            return np.arange(len(self))
        return np.flatnonzero(self.table["split"].to_numpy() == split)


def open_presets(folder: Path) -> PresetSet:
    """Open a preset set; nothing is unpickled and no array is read as a whole.

    Raises:
        InvalidValueError: there is none, or its files do not belong together.
    """
    path = folder / META
    if not path.is_file():
        raise InvalidValueError("no preset set", where=str(folder), allowed=f"a folder of render_presets with {META}", received="nothing")
    meta = json.loads(path.read_text())
    spec = SynthSpec.from_json(meta["spec"], where=f"{META}.spec")
    if spec.digest != meta["spec_digest"]:
        raise InvalidValueError("the spec is another one", where=f"{path}.spec_digest", allowed=spec.digest, received=meta["spec_digest"])
    rows, dimensions = meta["rows"], meta["dimensions"]
    wanted = {PARAMETERS: (rows, len(spec.used)), **({EMBEDDINGS: (rows, dimensions)} if meta["audio_model"] else {})}
    arrays = {name: mapped(folder / name) for name in (PARAMETERS, EMBEDDINGS, AUDIO, MEL)}
    for name, shape in wanted.items():
        array = arrays[name]
        if array is None or array.shape != shape:
            received = None if array is None else array.shape
            raise InvalidValueError("wrong array", where=str(folder / name), allowed=f"float32 {list(shape)}", received=received)
    parameters = arrays[PARAMETERS]
    assert parameters is not None  # checked above
    return PresetSet(folder, meta, spec, parameters, arrays[EMBEDDINGS], arrays[AUDIO], arrays[MEL])


def _table(path: Path) -> pd.DataFrame:
    import pandas as pd  # slow to import, and not needed for the arrays

    return pd.read_parquet(path)


def mapped(path: Path) -> npt.NDArray[Any] | None:
    """Return an array of a set, memory-mapped; none if there is no such file. Nothing is unpickled."""
    if not path.is_file():
        return None
    with path.open("rb") as handle:
        empty = 0 in _shape(handle)
    # An array without elements cannot be mapped.
    return np.asarray(np.load(path, allow_pickle=False)) if empty else np.load(path, mmap_mode="r", allow_pickle=False)


def _shape(handle: Any) -> tuple[int, ...]:
    version = np.lib.format.read_magic(handle)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return tuple(read(handle)[0])


def check_agreement(first: PresetSet, second: PresetSet) -> None:
    """Refuse two sets that were not made alike, of which one would be trained on and the other scored.

    Raises:
        InvalidValueError: spec, plug-in, MIDI settings, sample rate, duration, fade-out or audio model differ; all that do are named.
    """
    differing = {name: (first.meta[name], second.meta[name]) for name in MUST_AGREE if first.meta[name] != second.meta[name]}
    if differing:
        received = {name: f"{pair[0]!r} and {pair[1]!r}" for name, pair in differing.items()}
        where = f"{first.folder.name} and {second.folder.name}"
        raise InvalidValueError(
            "the sets were made differently", where=where, allowed="the same " + ", ".join(differing), received=received
        )
