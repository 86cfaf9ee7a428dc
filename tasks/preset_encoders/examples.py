"""Presets with the embeddings of their sounds, by split: in memory where they fit, otherwise read from the memory maps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.errors import InvalidValueError
from core.keys import files_digest
from tasks.presets.reading import EMBEDDINGS, META, MUST_AGREE, PARAMETERS, TABLE, PresetSet, check_agreement, open_presets

IN_MEMORY_BYTES = 2_000_000_000
"""Largest split that is copied into memory."""
BLOCK = 65_536
"""Rows that statistics are taken over at once."""
LEAST_SPREAD = 1e-6
"""Dimensions that vary less than this share of the one that varies most are left unscaled."""
FILES = (META, TABLE, PARAMETERS, EMBEDDINGS)


class Examples:
    """Some rows of a preset set.

    Args:
        presets: the set.
        rows: places in it [rows].
        device: where batches go.
    """

    def __init__(self, presets: PresetSet, rows: npt.NDArray[np.int64], device: str) -> None:
        if presets.embeddings is None:
            hint = "render the set with an audio model"
            raise InvalidValueError("no embeddings", where=str(presets.folder), allowed=EMBEDDINGS, received="none", hint=hint)
        self.parameters, self.embeddings, self.rows, self.device = presets.parameters, presets.embeddings, rows, device
        self.dimensions = presets.embeddings.shape[1]
        self._check(presets)
        self.kept: tuple[Tensor, Tensor] | None = None
        if len(rows) * 4 * (self.parameters.shape[1] + self.dimensions) <= IN_MEMORY_BYTES:
            self.kept = self._read(np.arange(len(rows)))

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return presets [B, used] and embeddings [B, m] by their place among these rows."""
        if self.kept is not None:
            places = places.to(self.kept[0].device)
            return self.kept[0][places], self.kept[1][places]
        return self._read(places.cpu().numpy())

    def _read(self, places: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        rows = self.rows[places]
        first, second = (torch.from_numpy(np.asarray(array[rows], np.float32)) for array in (self.parameters, self.embeddings))
        return first.to(self.device), second.to(self.device)

    def _check(self, presets: PresetSet) -> None:
        """Refuse presets that the spec does not know, and embeddings that are not finite."""
        for start in range(0, len(self.rows), BLOCK):
            rows = self.rows[start : start + BLOCK]
            presets.spec.raw(self.parameters[rows])
            if not np.isfinite(self.embeddings[rows]).all():
                raise InvalidValueError("embeddings are not finite", where=str(presets.folder / EMBEDDINGS), allowed="finite numbers",
                                        received=f"NaN or inf in rows {rows[0]} … {rows[-1]}")  # fmt: skip

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the embeddings [m], float32, over all these rows; 1 where nothing varies."""
        sums = np.zeros((2, self.dimensions))
        for start in range(0, len(self.rows), BLOCK):  # a mean first: squares of a large mean would drown a small spread
            sums[0] += np.asarray(self.embeddings[self.rows[start : start + BLOCK]], np.float64).sum(0)
        middle = sums[0] / len(self.rows)
        for start in range(0, len(self.rows), BLOCK):
            sums[1] += ((np.asarray(self.embeddings[self.rows[start : start + BLOCK]], np.float64) - middle) ** 2).sum(0)
        spread = np.sqrt(sums[1] / len(self.rows))
        spread[spread <= LEAST_SPREAD * spread.max()] = 1.0
        return torch.from_numpy(middle).float(), torch.from_numpy(spread).float()


@dataclass
class Splits:
    """What a training reads."""

    presets: PresetSet
    """The set that is trained on."""
    train: Examples
    val: Examples
    digests: tuple[str, str]
    """SHA-256 of the files of both sets."""


def open_splits(train: Path, val: Path, device: str) -> Splits:
    """Open the rows of split ``train`` of one set and of split ``val`` of another, or of the same; no other row is looked at.

    Raises:
        InvalidValueError: sets that were not made alike, without embeddings, or without such rows.
    """
    first, second = open_presets(train), open_presets(val)
    if train != val:
        check_agreement(first, second)
    for what, presets, least in (("train", first, 2), ("val", second, 2)):
        if len(presets.rows(what)) < least:
            raise InvalidValueError(f"too few {what} rows", where=str(presets.folder), allowed=f"at least {least}",
                                    received=len(presets.rows(what)), hint="splits are a setting of render_presets")  # fmt: skip
    digests = (digest(train), digest(val))
    return Splits(first, Examples(first, first.rows("train"), device), Examples(second, second.rows("val"), device), digests)


def made_like(presets: PresetSet) -> str:
    """Return, as JSON text, what two sets must share for an encoder of one to mean anything on the other; kept beside its weights."""
    return json.dumps({name: presets.meta[name] for name in MUST_AGREE}, sort_keys=True)


def check_belongs(made: str, presets: PresetSet, where: str) -> None:
    """Refuse a set that was made otherwise than the one an encoder was trained on.

    Args:
        made: :func:`made_like` of that one.
        presets: the set.
        where: the request's field that names the encoder.

    Raises:
        InvalidValueError: spec, plug-in, MIDI settings, sample rate, duration, fade-out or audio model differ; all that do are named.
    """
    wanted, found = json.loads(made), json.loads(made_like(presets))
    differing = [name for name in wanted if wanted[name] != found[name]]
    if differing:
        allowed, received = ({name: told[name] for name in differing} for told in (wanted, found))
        hint = f"{presets.folder.name} was made differently"
        raise InvalidValueError("the encoder knows other presets", where=where, allowed=allowed, received=received, hint=hint)


def digest(folder: Path) -> str:
    """Return one SHA-256 over the files of a preset set that networks see."""
    return files_digest(folder / name for name in FILES if (folder / name).is_file())
