"""What is to be told of each clip, and which clips train, validate and test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import InvalidValueError

Rows = npt.NDArray[np.int64]
Kind = Literal["one", "several", "numbers"]
DRAWN_FOLDS = 5
LEAST_FOLDS = 3
"""One to test, one to validate, one to train."""


@dataclass(frozen=True)
class Targets:
    """What is to be told of each clip."""

    classes: tuple[str, ...]
    values: npt.NDArray[np.float32]
    """1 where a clip has a label, else 0 [clips, classes]; or the numbers."""
    kind: Kind
    """``one`` label a clip, ``several``, or ``numbers``."""


@dataclass
class Fold:
    """One round."""

    name: str
    """The test fold; ``test`` with a split."""
    train: Rows
    val: Rows
    test: Rows


def numbers(parameters: Sequence[str], path: str) -> Targets:
    """Return the numbers at a place in the clips' parameters, JSON texts.

    Raises:
        InvalidValueError: there are none, or not equally many in every clip.
    """
    rows = [_numbers(text, path) for text in parameters]
    if len({len(row) for row in rows}) != 1:
        received = sorted({len(row) for row in rows})
        raise InvalidValueError("not equally many numbers", where="probe.target", allowed="as many in every clip", received=received)
    values = np.array(rows, np.float32)
    names = tuple(f"{path}.{number}" for number in range(values.shape[1])) if values.shape[1] > 1 else (path,)
    return Targets(names, values, "numbers")


def labels(texts: Sequence[str], clip_ids: Sequence[str], separator: str, where: str) -> Targets:
    """Return the labels of clips.

    Args:
        texts: the manifest's labels.
        clip_ids: for the error.
        separator: between the labels of one clip; empty: one label a clip.
        where: for the error.

    Raises:
        InvalidValueError: fewer than two labels, or clips without a label.
    """
    parts = [_labels(text, separator) for text in texts]
    classes = tuple(sorted({name for names in parts for name in names}))
    if len(classes) < 2:
        raise InvalidValueError("nothing to tell apart", where=where, allowed="two labels or more", received=classes)
    bare = [clip for clip, names in zip(clip_ids, parts, strict=True) if not names]
    if bare and not separator:
        raise InvalidValueError("clips without a label", where=where, allowed="one label each", received=bare[:5])
    places, values = {name: number for number, name in enumerate(classes)}, np.zeros((len(parts), len(classes)), np.float32)
    for row, own in enumerate(parts):
        values[row, [places[name] for name in own]] = 1.0
    return Targets(classes, values, "several" if separator else "one")


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


def folds(table: pd.DataFrame, kind: str, seed: int, where: str) -> list[Fold]:
    """Return the rounds, in the folds' order; folds that are numbers are ordered as numbers.

    Args:
        table: a row for each clip, with ``clip_id``, ``fold`` and ``split``.
        kind: ``fold``, ``split``, ``drawn`` (five folds by clip id) or ``auto`` (fold where there are three or more, else split).
        seed: of drawn folds.
        where: for the error.

    Raises:
        InvalidValueError: too few folds, or an empty split.
    """
    column = table["fold"].astype(str).to_numpy()
    if kind == "drawn":
        column = np.array([_drawn(clip, seed) for clip in table["clip_id"]])
    names = sorted(set(column) - {""}, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    if kind in ("fold", "drawn") or (kind == "auto" and len(names) >= LEAST_FOLDS):
        if len(names) < LEAST_FOLDS:
            hint = "folds=split uses the splits, folds=drawn draws some"
            raise InvalidValueError("too few folds", where=where, allowed=f"{LEAST_FOLDS} or more", received=names, hint=hint)
        found = []
        for number, name in enumerate(names):
            following = names[(number + 1) % len(names)]
            train = np.flatnonzero((column != name) & (column != following) & (column != ""))
            found.append(Fold(name, train, np.flatnonzero(column == following), np.flatnonzero(column == name)))
        return found
    rows = {name: np.flatnonzero((table["split"] == name).to_numpy()) for name in ("train", "val", "test")}
    empty = [name for name, numbers in rows.items() if not len(numbers)]
    if empty:
        hint = "prepare draws splits; or give the manifest three folds or more"
        raise InvalidValueError("a split has no clips", where=where, allowed="train, val and test", received=empty, hint=hint)
    return [Fold("test", rows["train"], rows["val"], rows["test"])]


def _drawn(clip: str, seed: int) -> str:
    """Return a clip's fold, 1 … 5, by its id."""
    return str(1 + int(hashlib.sha256(f"{seed} {clip}".encode()).hexdigest(), 16) % DRAWN_FOLDS)
