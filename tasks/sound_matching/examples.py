"""Sounds with their presets, by split: levels from kept spectrograms where there are any, otherwise of the kept sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.errors import InvalidValueError
from tasks.audio_models.levels import Levels
from tasks.presets import hand_crafted
from tasks.presets.reading import PresetSet, check_agreement, open_presets
from tasks.renderer.interface import Note

BLOCK = 16
"""Sounds whose levels are worked out at once."""
MOST_BYTES = 4_000_000_000
"""Of levels that are worked out and kept in memory."""


class Sounds:
    """Some rows of a preset set.

    Args:
        presets: the set.
        rows: places in it [rows].
        device: where batches go.
        heard: whether levels will be asked for.

    Raises:
        InvalidValueError: neither the sounds nor the spectrograms of all these rows were kept.
    """

    def __init__(self, presets: PresetSet, rows: npt.NDArray[np.int64], device: str, heard: bool = True) -> None:
        self.set, self.rows, self.device = presets, rows, device
        self._levels: npt.NDArray[np.float16] = np.empty((0, 0, 0), np.float16)
        self._places = rows
        last = int(rows.max(initial=-1))
        if not heard:
            return
        if presets.mel is not None and len(presets.mel) > last:
            self._levels = presets.mel
        elif presets.audio is not None and len(presets.audio) > last:
            self._levels, self._places = self._computed(), np.arange(len(rows))
        else:
            kept = max(len(part) if part is not None else 0 for part in (presets.mel, presets.audio))
            raise InvalidValueError("sounds are missing", where=str(presets.folder), allowed=f"sounds or spectrograms of {last + 1} rows",
                                    received=kept, hint="render the set with audio_clips=-1 or mel_clips=-1")  # fmt: skip

    def _computed(self) -> npt.NDArray[np.float16]:
        audio = self.set.audio
        assert audio is not None  # asked before
        heard = Levels(int(self.set.meta["sample_rate_hz"])).to(self.device)
        parts = []
        for start in range(0, len(self.rows), BLOCK):
            sounds = torch.from_numpy(np.asarray(audio[self.rows[start : start + BLOCK]], np.float32))
            with torch.inference_mode():
                parts.append(heard(sounds.to(self.device)).cpu().numpy().astype(np.float16))
            if parts[0][0].nbytes * len(self.rows) > MOST_BYTES:
                received = f"{parts[0][0].nbytes * len(self.rows) / 1e9:.1f} GB"
                raise InvalidValueError("too many sounds for the memory", where=str(self.set.folder), allowed=f"{MOST_BYTES / 1e9:g} GB",
                                        received=received, hint="render the set with mel_clips=-1")  # fmt: skip
        return np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.rows)

    def levels(self, places: Tensor) -> Tensor:
        """Return log-mel levels [B, 128, frames] by place among these rows."""
        return torch.from_numpy(np.asarray(self._levels[self._places[places.numpy()]], np.float32)).to(self.device)

    def presets(self, places: Tensor) -> Tensor:
        """Return presets [B, used] likewise."""
        return torch.from_numpy(np.asarray(self.set.parameters[self.rows[places.numpy()]], np.float32)).to(self.device)

    def embeddings(self, places: Tensor) -> Tensor:
        """Return the embeddings [B, m] of the sounds likewise.

        Raises:
            InvalidValueError: the set has none.
        """
        if self.set.embeddings is None:
            hint = "render the set with an audio model"
            raise InvalidValueError("no embeddings", where=str(self.set.folder), allowed="embeddings.npy", received="none", hint=hint)
        return torch.from_numpy(np.asarray(self.set.embeddings[self.rows[places.numpy()]], np.float32)).to(self.device)

    def statistics(self) -> tuple[float, float]:
        """Return mean and standard deviation of the levels of these rows."""
        total = squares = 0.0
        for place in self._places:
            levels = self._levels[place].astype(np.float64)
            total, squares = total + levels.mean(), squares + np.square(levels).mean()
        middle = total / len(self.rows)
        return float(middle), float(max(1e-3, np.sqrt(max(0.0, squares / len(self.rows) - middle**2))))

    def sound(self, place: int) -> npt.NDArray[np.float32] | None:
        """Return a sound [T] as it was kept; none if it was not."""
        row = int(self.rows[place])
        return None if self.set.audio is None or row >= len(self.set.audio) else np.asarray(self.set.audio[row], np.float32)

    def notes(self) -> list[Note]:
        """Return the note that each row was played with."""
        table, hold_s = self.set.table, self.set.meta["midi"]["hold_s"]
        return [Note(int(table["note"][row]), int(table["velocity"][row]), hold_s) for row in self.rows]


def training_rows(presets: PresetSet, seed: int, val_share: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows to train on and those to validate on; test rows are in neither.

    Sets with rows of split ``val`` have their own. Otherwise a share of the training rows validates, chosen by a hash of seed and
    values: an 11 % of the published sets' 90 %.
    """
    rows, own = presets.rows("train"), presets.rows("val")
    if len(own):
        return rows, own
    chosen = np.asarray(hand_crafted.splits(np.asarray(presets.parameters[rows]), seed, val_share))
    return rows[chosen == "train"], rows[chosen == "test"]


def open_sounds(train: Path, val: Path | None, seed: int, val_share: float) -> tuple[PresetSet, PresetSet, list[npt.NDArray[np.int64]]]:
    """Open the sets and choose rows.

    Raises:
        InvalidValueError: sets that were not made alike, or without rows to train or validate on.
    """
    first = open_presets(train)
    second = first if val is None else open_presets(val)
    if val is None:
        rows = list(training_rows(first, seed, val_share))
    else:
        check_agreement(first, second)
        rows = [first.rows("train"), second.rows("val")]
    for what, some in zip(("train", "val"), rows, strict=True):
        if len(some) < 2:
            raise InvalidValueError(f"too few {what} rows", where="train_sound_matcher", allowed="at least 2", received=len(some),
                                    hint="splits are a setting of render_presets; val_share divides the train rows")  # fmt: skip
    return first, second, rows
