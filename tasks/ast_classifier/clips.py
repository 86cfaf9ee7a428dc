"""Loads an arm's clips, and refuses what must not be trained on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pandas as pd
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.ast_classifier.asked import Request
from tasks.ast_classifier.fbank import MELS, RATE_HZ, filter_bank, fit, frames
from tasks.ast_classifier.mixture import Mixture, candidate, kept, shares

NO_CLIPS = "train_ast.train"
"""Where the error comes from when a mixture keeps no clip."""


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
    test: Features | None
    """None where only the validation clips were asked for."""
    classes: tuple[str, ...]
    target_frames: int
    separator: str = ""
    """What separates the labels of one clip; empty: one label each."""
    faults: list[str] = field(default_factory=list)
    gold_fraction: float = 0.5
    """Share of gold clips in a batch, where there are gold clips and others."""
    shares: list[tuple[float, torch.Tensor]] = field(default_factory=list)
    """Weight and clips of each source among the other places of a batch; empty: every clip has the same chance."""


@dataclass
class Candidates:
    """Every clip that some mixture could train on, as features, and the clips that judge."""

    request: Request
    table: pd.DataFrame
    """Manifest rows of ``split.train``, with the column ``folder``."""
    gold_ids: set[str]
    split: Split
    """Of all of them."""

    def mixed(self, mixture: Mixture) -> Split:
        """Return what a mixture trains on.

        Raises:
            InvalidValueError: it leaves no clip.
        """
        rows = torch.from_numpy(kept(self.table, self.request, mixture).nonzero()[0])
        if not len(rows):
            raise InvalidValueError("keeps no clip", where=NO_CLIPS, allowed="at least one", received=f"{mixture.score} {mixture.bound:g}")
        every, table = self.split.train, self.table.iloc[rows.numpy()].reset_index(drop=True)
        whole = len(rows) == len(every.clip_ids)
        train = every if whole else Features(list(table["clip_id"]), every.banks[rows], every.lengths[rows], every.targets[rows])
        return replace(
            self.split, train=train, groups=families(table, self.gold_ids), gold_fraction=mixture.gold_fraction,
            shares=shares(table, self.request, mixture),
        )  # fmt: skip


def read(request: Request, context: Context, mixture: Mixture) -> Split:
    """Load everything a training needs.

    Raises:
        InvalidValueError: a leak (a validation or test clip, or a descendant, among the training clips), an unknown label, no clips.
    """
    found = candidates(request, context, ("val", "test"), mixture)
    return replace(found.split, gold_fraction=mixture.gold_fraction, shares=shares(found.table, request, mixture))


def candidates(request: Request, context: Context, judges: tuple[str, ...], mixture: Mixture | None = None) -> Candidates:
    """Load clips to train on, and those of the splits that judge; no other file of the evaluation set is opened.

    Args:
        request: of the training.
        context: where the folders are.
        judges: ``val``, or ``val`` and ``test``.
        mixture: load the clips that it keeps; None: all that some mixture could keep.

    Raises:
        InvalidValueError: as of :func:`read`.
    """
    separator = request.settings.label_separator
    evaluation = manifest.accepted(manifest.read(context.resolve(request.evaluation)))
    folder = request.gold or request.train[0]
    gold = _candidates(folder, request, context)
    tables = ([gold] if folder in request.train else []) + [_candidates(name, request, context) for name in request.train if name != folder]
    train = pd.concat(tables, ignore_index=True)
    if mixture is not None:
        train = train[kept(train, request, mixture)].reset_index(drop=True)
    refuse_leaks(train, evaluation)
    parts = [train, *(evaluation[evaluation["split"] == name] for name in judges)]
    sizes = dict(zip(("train", *judges, "gold"), map(len, [*parts, gold]), strict=True))
    if not all(sizes.values()):
        raise InvalidValueError("a split has no clips", where=request.evaluation, allowed="at least one each", received=sizes)
    classes = class_names([gold, evaluation[evaluation["split"] == "train"]], separator)
    refuse_unknown(parts, classes, separator, request.evaluation)
    target, total = frames(float(gold["duration_s"].max())), sum(map(len, parts))
    reader = _Reader(classes, separator, target, request.settings.legacy_rate, context, total)
    features = [reader.features(part) for part in parts]
    trained, ids = len(gold) if folder in request.train else 0, set(gold["clip_id"])
    test = features[2] if len(features) > 2 else None
    split = Split(features[0], trained, len(gold), families(train, ids), features[1], test, classes, target, separator, reader.faults())
    return Candidates(request, train, ids, split)


def _candidates(folder: str, request: Request, context: Context) -> pd.DataFrame:
    """Return the rows of one folder that may be trained on; gold clips have passed no filter."""
    filtered = any(source.filtered and folder in source.folders for source in request.sources)
    table = candidate(manifest.read(context.resolve(folder)), filtered and folder != request.gold)
    return table.assign(folder=folder).reset_index(drop=True)


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
    manifest.refuse_leaks(train, kept_out, "training clips that are or descend from validation or test clips", "train_ast.train")


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
