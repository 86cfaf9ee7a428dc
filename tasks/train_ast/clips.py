"""Loads an arm's clips, and refuses what must not be trained on."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.train_ast.fbank import MELS, RATE_HZ, filter_bank, fit, frames
from tasks.train_ast.spec import Request


@dataclass
class Features:
    """Clips as features."""

    clip_ids: list[str]
    banks: torch.Tensor
    """[clips, frames, mels]."""
    lengths: torch.Tensor
    """Frames of each clip that are sound and not padding [clips]."""
    targets: torch.Tensor
    """1 where a clip has a class, else 0: float [clips, classes]."""

    @property
    def labels(self) -> torch.Tensor:
        """Class numbers [clips], where each clip has one class."""
        return self.targets.argmax(1)


@dataclass
class Split:
    """An arm's training clips and the clips it is scored on."""

    train: Features
    gold_clips: int
    """The first so many training clips are gold; 0 for a synthetic-only arm."""
    gold_size: int
    """Gold clips there are, trained on or not; what an epoch is counted in."""
    groups: list[list[int]]
    """Training clips that stem from one gold clip, that clip first when it is among them."""
    val: Features
    test: Features
    classes: tuple[str, ...]
    target_frames: int
    separator: str = ""
    """What separates the labels of one clip; empty: one label each."""
    faults: list[str] = field(default_factory=list)


def read(request: Request, context: Context) -> Split:
    """Load everything a training needs.

    Raises:
        InvalidValueError: a leak (a validation or test clip, or a descendant, among the training clips), an unknown label, no clips.
    """
    separator = request.settings.label_separator
    evaluation = _accepted(request.evaluation, context)
    folder = request.gold or request.train[0]
    gold = _train_rows(folder, context)
    tables = ([gold] if folder in request.train else []) + [_train_rows(name, context) for name in request.train if name != folder]
    train = pd.concat(tables, ignore_index=True)
    refuse_leaks(train, evaluation)
    parts = [train, evaluation[evaluation["split"] == "val"], evaluation[evaluation["split"] == "test"]]
    sizes = dict(zip(("train", "val", "test", "gold"), map(len, [*parts, gold]), strict=True))
    if not all(sizes.values()):
        raise InvalidValueError("a split has no clips", where=request.evaluation, allowed="at least one each", received=sizes)
    classes = class_names([gold, evaluation[evaluation["split"] == "train"]], separator)
    refuse_unknown(parts, classes, separator, request.evaluation)
    target, total = frames(float(gold["duration_s"].max())), sum(map(len, parts))
    reader = _Reader(classes, separator, target, request.settings.legacy_rate, context, total)
    features = [reader.features(part) for part in parts]
    trained = len(gold) if folder in request.train else 0
    groups = families(train, set(gold["clip_id"]))
    return Split(features[0], trained, len(gold), groups, features[1], features[2], classes, target, separator, reader.faults())


def _accepted(folder: str, context: Context) -> pd.DataFrame:
    return manifest.accepted(manifest.read(context.resolve(folder)))


def _train_rows(folder: str, context: Context) -> pd.DataFrame:
    table = _accepted(folder, context)
    return table[table["split"] == "train"].reset_index(drop=True)


def split_labels(text: str, separator: str) -> list[str]:
    """Return the labels of one clip; with no separator the text is one label."""
    return [part.strip() for part in text.split(separator) if part.strip()] if separator else [text]


def class_names(tables: list[pd.DataFrame], separator: str) -> tuple[str, ...]:
    """Return the labels of the gold clips and of the dataset's train split, sorted: the same ones for every arm."""
    return tuple(sorted({name for table in tables for text in table["label"] for name in split_labels(text, separator)}))


def refuse_unknown(parts: list[pd.DataFrame], classes: tuple[str, ...], separator: str, where: str) -> None:
    """Refuse labels that neither the gold clips nor the dataset's train split have.

    Raises:
        InvalidValueError: with those labels.
    """
    unknown = sorted(set(class_names(parts, separator)) - set(classes))
    if unknown:
        hint = "" if separator else "several labels in one text need train_ast.label_separator"
        raise InvalidValueError("labels that no gold clip has", where=where, allowed=classes, received=unknown, hint=hint)


def refuse_leaks(train: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    """Refuse training clips that are, or descend from, clips of the validation or test split.

    Raises:
        InvalidValueError: with the first such clips.
    """
    kept_out = set(evaluation.loc[evaluation["split"] != "train", "clip_id"])
    leaked = [row.clip_id for row in train.itertuples() if row.clip_id in kept_out or kept_out & set(row.parents)]
    if leaked:
        raise InvalidValueError(
            "training clips that are or descend from validation or test clips",
            where="train_ast.train",
            allowed="train clips",
            received=leaked[:5],
        )


def families(train: pd.DataFrame, gold: set[str]) -> list[list[int]]:
    """Return the row numbers of training clips by the gold clip they stem from, that clip first; a clip without one is by itself."""
    found: dict[str, list[int]] = {}
    for number, row in enumerate(train.itertuples()):
        if row.clip_id in gold:
            found.setdefault(row.clip_id, []).insert(0, number)
        else:
            stem = next((parent for parent in row.parents if parent in gold), row.clip_id)
            found.setdefault(stem, []).append(number)
    return list(found.values())


@dataclass
class _Reader:
    """Turns clips into features and remembers what was wrong on purpose."""

    classes: tuple[str, ...]
    separator: str
    target_frames: int
    legacy_rate: bool
    context: Context
    total: int
    done: int = 0
    misread: int = 0

    def features(self, table: pd.DataFrame) -> Features:
        """Return the clips of a manifest as features, those to be scored sorted by their id."""
        ordered = table if (table["split"] == "train").all() else table.sort_values("clip_id")
        number, index = len(ordered), {name: i for i, name in enumerate(self.classes)}
        banks, targets = torch.empty(number, self.target_frames, MELS), torch.zeros(number, len(self.classes))
        lengths = torch.ones(number, dtype=torch.long)
        for i, (path, text) in enumerate(zip(ordered["path"], ordered["label"], strict=True)):
            bank = self._bank(path)
            banks[i], lengths[i] = fit(bank, self.target_frames), max(1, min(len(bank), self.target_frames))
            targets[i, [index[name] for name in split_labels(text, self.separator)]] = 1.0
            self.done += 1
            self.context.progress(self.done, self.total)
        return Features(list(ordered["clip_id"]), banks, lengths, targets)

    def _bank(self, path: str) -> torch.Tensor:
        samples, rate_hz = audio.read(self.context.resolve(path))
        mono = audio.resample(samples.mean(axis=0), rate_hz, RATE_HZ)
        self.misread += self.legacy_rate and rate_hz != RATE_HZ
        return filter_bank(mono, rate_hz if self.legacy_rate else RATE_HZ)

    def faults(self) -> list[str]:
        """Return, and log, what was done wrong on request."""
        if not self.legacy_rate:
            return []
        fault = f"legacy_rate: the filter bank was told a wrong sample rate for {self.misread} of {self.total} clips"
        self.context.log(fault)
        return [fault]
