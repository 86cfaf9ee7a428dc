"""Dry clips of a manifest as the model hears them, and what they are called."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile
import torch
from torch import Tensor

from core import audio, manifest
from core.errors import InvalidValueError
from tasks.spatial.dry import fitted
from tasks.spatial.spoken import spoken

SILENCE_DB = -50.0
"""What lies this far below a clip's loudest 10 ms, at its ends, is cut where silence is trimmed."""
KEPT_BYTES = 2_000_000_000
"""Decoded clips that stay in memory."""


def trimmed(sound: audio.Samples, rate_hz: int) -> audio.Samples:
    """Return a sound [samples] without the silence before and behind it; all of it where it is silent altogether."""
    size = max(1, rate_hz // 100)
    blocks = -(-len(sound) // size)
    energy = np.square(audio.fit_length(sound, blocks * size).reshape(blocks, size)).mean(1)
    heard = np.flatnonzero(energy > energy.max(initial=0.0) * 10 ** (SILENCE_DB / 10))
    return sound[heard[0] * size : (heard[-1] + 1) * size] if len(heard) else sound


class Sources:
    """Dry clips of one split: mono, at one rate, each at exactly the model's length.

    Args:
        folder: with the manifest.
        root: data root that its paths are relative to.
        split: train, val or test.
        sample_rate_hz: of the model.
        samples: of the model's input.
        trim: cut silence at both ends first, as ELSA does; short sounds are then repeated sooner.
    """

    def __init__(self, folder: Path, root: Path, split: str, sample_rate_hz: int, samples: int, trim: bool) -> None:
        table = manifest.accepted(manifest.read(folder))
        self.table: pd.DataFrame = table[table["split"] == split].sort_values("clip_id").reset_index(drop=True)
        if not len(self.table):
            counts = table["split"].value_counts().to_dict()
            raise InvalidValueError(f"no accepted {split} clips", where=str(folder), allowed=f"clips of split {split}", received=counts)
        self.root, self.rate_hz, self.samples, self.trim, self.split = root, sample_rate_hz, samples, trim, split
        self.ids: list[str] = [str(name) for name in self.table["clip_id"]]
        self.captions = [spoken(str(row.label), str(row.caption)) for row in self.table.itertuples()]
        self.unreadable: dict[str, str] = {}
        """Clips that could not be decoded, with the reason."""
        self._kept: dict[int, audio.Samples] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.table)

    def labels(self, by: str) -> npt.NDArray[np.int64]:
        """Return a number per clip, equal for clips that count as one source.

        Args:
            by: ``clip``, or ``caption`` for clips that are called the same.
        """
        names = self.ids if by == "clip" else self.captions
        return np.unique(np.asarray(names, object).astype(str), return_inverse=True)[1].astype(np.int64)

    def wave(self, place: int, seed: int | None = None) -> Tensor:
        """Return a clip [samples].

        Args:
            place: its place in the table.
            seed: of where a longer clip is cut out; None for its beginning.

        Raises:
            InvalidValueError: the file is no sound file any more, or empty.
        """
        sound = self._decoded(place)
        spare = len(sound) - self.samples
        if seed is not None and spare > 0:
            sound = sound[random.Random(seed).randint(0, spare) :]  # noqa: S311
        return torch.from_numpy(np.ascontiguousarray(fitted(sound, self.samples), dtype=np.float32))

    def heard(self, place: int, seed: int | None = None) -> Tensor | None:
        """Return a clip as :meth:`wave` does, or None for one that cannot be decoded, which is noted with its reason."""
        try:
            return self.wave(place, seed)
        except (InvalidValueError, soundfile.LibsndfileError, OSError) as error:
            self.unreadable[self.ids[place]] = str(error)
            return None

    def spread(self, most: int) -> list[int]:
        """Return up to ``most`` places, taken from the labels in turn; within a label in the order of the ids, which are hashes."""
        turn = self.table.groupby("label", sort=True).cumcount()
        order = np.lexsort((self.table["label"].to_numpy(str), turn.to_numpy()))
        return [int(place) for place in order[:most]]

    def _decoded(self, place: int) -> audio.Samples:
        if place in self._kept:
            return self._kept[place]
        path = (self.root / str(self.table["path"].iloc[place])).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise InvalidValueError("path leaves the data root", where=self.ids[place], allowed="below the data root", received=str(path))
        sound = audio.load_mono(path, self.rate_hz)
        if not len(sound) or not np.isfinite(sound).all():
            raise InvalidValueError("no samples to hear", where=str(path), allowed="finite samples", received=len(sound))
        sound = trimmed(sound, self.rate_hz) if self.trim else sound
        if self._bytes + sound.nbytes <= KEPT_BYTES:
            self._kept[place] = sound
            self._bytes += sound.nbytes
        return sound
