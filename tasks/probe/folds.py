"""Which clips train, validate and test a probe."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import InvalidValueError
from tasks.probe.spec import Settings

Rows = npt.NDArray[np.int64]
Kind = Literal["one", "several", "numbers"]
DRAWN_FOLDS = 5
LEAST_FOLDS = 3
"""One to test, one to validate, one to train."""


@dataclass
class Task:
    """Embeddings and what they are to tell."""

    table: pd.DataFrame
    """A row for each clip."""
    array: npt.NDArray[np.float32]
    """Embeddings [clips, d]."""
    classes: tuple[str, ...]
    targets: npt.NDArray[np.float32]
    """1 where a clip has a label, else 0 [clips, classes]."""
    kind: Kind
    """``one`` label a clip, ``several``, or ``numbers``; then the targets are those."""


@dataclass
class Fold:
    """One round."""

    name: str
    """The test fold; ``test`` with a split."""
    train: Rows
    val: Rows
    test: Rows


def read(folder: Path, settings: Settings) -> Task:
    """Open embeddings.

    Raises:
        InvalidValueError: no embeddings, fewer than two labels, or clips without a label.
    """
    if not (folder / "embeddings.npy").is_file():
        raise InvalidValueError("no embeddings", where=str(folder), allowed="a folder of embed", received="no embeddings.npy")
    table = pd.read_parquet(folder / "table.parquet")
    array = np.load(folder / "embeddings.npy", allow_pickle=False)
    if settings.target != "label":
        values = np.array([_numbers(text, settings.target) for text in table["parameters"]], np.float32)
        names = tuple(f"{settings.target}.{number}" for number in range(values.shape[1])) if values.shape[1] > 1 else (settings.target,)
        return Task(table, array, names, values, "numbers")
    texts = [_labels(text, settings.label_separator) for text in table["label"]]
    classes = tuple(sorted({name for names in texts for name in names}))
    if len(classes) < 2:
        raise InvalidValueError("nothing to tell apart", where=str(folder), allowed="two labels or more", received=classes)
    bare = [clip for clip, names in zip(table["clip_id"], texts, strict=True) if not names]
    if bare and not settings.label_separator:
        raise InvalidValueError("clips without a label", where=str(folder), allowed="one label each", received=bare[:5])
    places, targets = {name: number for number, name in enumerate(classes)}, np.zeros((len(table), len(classes)), np.float32)
    for row, own in enumerate(texts):
        targets[row, [places[name] for name in own]] = 1.0
    return Task(table, array, classes, targets, "several" if settings.label_separator else "one")


def _numbers(text: str, path: str) -> list[float]:
    """Return the number, or numbers, at a place in a clip's parameters.

    Raises:
        InvalidValueError: there are none.
    """
    found = json.loads(text)
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    values = found if isinstance(found, list) else [found]
    if not values or not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        raise InvalidValueError(
            "no number there", where="probe.target", allowed="a place in every clip's parameters", received=(path, found)
        )
    return [float(value) for value in values]


def _labels(text: str, separator: str) -> list[str]:
    parts = text.split(separator) if separator else [text]
    return [part.strip() for part in parts if part.strip()]


def folds(task: Task, settings: Settings, where: str) -> list[Fold]:
    """Return the rounds, in the folds' order; folds that are numbers are ordered as numbers.

    Raises:
        InvalidValueError: too few folds, or an empty split.
    """
    column = task.table["fold"].astype(str).to_numpy()
    if settings.folds == "drawn":
        column = np.array([_drawn(clip, settings.seed) for clip in task.table["clip_id"]])
    names = sorted(set(column) - {""}, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    if settings.folds in ("fold", "drawn") or (settings.folds == "auto" and len(names) >= LEAST_FOLDS):
        if len(names) < LEAST_FOLDS:
            hint = "folds=split uses the splits, folds=drawn draws some"
            raise InvalidValueError("too few folds", where=where, allowed=f"{LEAST_FOLDS} or more", received=names, hint=hint)
        found = []
        for number, name in enumerate(names):
            following = names[(number + 1) % len(names)]
            train = np.flatnonzero((column != name) & (column != following) & (column != ""))
            found.append(Fold(name, train, np.flatnonzero(column == following), np.flatnonzero(column == name)))
        return found
    rows = {name: np.flatnonzero((task.table["split"] == name).to_numpy()) for name in ("train", "val", "test")}
    empty = [name for name, numbers in rows.items() if not len(numbers)]
    if empty:
        hint = "prepare draws splits; or give the manifest three folds or more"
        raise InvalidValueError("a split has no clips", where=where, allowed="train, val and test", received=empty, hint=hint)
    return [Fold("test", rows["train"], rows["val"], rows["test"])]


def _drawn(clip: str, seed: int) -> str:
    """Return a clip's fold, 1 … 5, by its id."""
    return str(1 + int(hashlib.sha256(f"{seed} {clip}".encode()).hexdigest(), 16) % DRAWN_FOLDS)


def standardized(array: npt.NDArray[np.float32], rows: Rows) -> npt.NDArray[np.float32]:
    """Return embeddings [clips, d] with mean 0 and deviation 1 over some rows; dimensions that do not vary become 0."""
    mean, deviation = array[rows].mean(0, dtype=np.float64), array[rows].std(0, dtype=np.float64)
    varied = deviation > 1e-7 * max(1e-30, float(np.abs(mean).max()), float(deviation.max()))
    return np.asarray((array - mean) * np.where(varied, 1 / np.where(varied, deviation, 1.0), 0.0), dtype=np.float32)
