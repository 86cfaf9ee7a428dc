"""Loads an arm's clips, and refuses what must not be trained on."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.train_ast.fbank import RATE_HZ, fbank, frames
from tasks.train_ast.spec import Request


@dataclass
class Features:
    """Clips as features."""

    clip_ids: list[str]
    banks: torch.Tensor
    """[clips, frames, mels]."""
    labels: torch.Tensor
    """Class numbers [clips]."""


@dataclass
class Split:
    """An arm's training clips and the clips it is scored on."""

    train: Features
    gold_clips: int
    """The first so many training clips are gold."""
    val: Features
    test: Features
    classes: tuple[str, ...]
    target_frames: int


def read(request: Request, context: Context) -> Split:
    """Load everything a training needs.

    Raises:
        InvalidValueError: a leak (a validation or test clip, or a descendant, among the training clips), an unknown label, no clips.
    """
    evaluation = manifest.accepted(manifest.read(context.resolve(request.evaluation)))
    tables = [manifest.accepted(manifest.read(context.resolve(folder))) for folder in request.train]
    train = pd.concat([table[table["split"] == "train"] for table in tables], ignore_index=True)
    refuse_leaks(train, evaluation)
    classes = tuple(sorted(set(train["label"])))
    unknown = sorted(set(evaluation["label"]) - set(classes))
    if unknown:
        raise InvalidValueError("labels that no training clip has", where=request.evaluation, allowed=classes, received=unknown)
    longest = float(tables[0]["duration_s"].max())
    parts = [train, evaluation[evaluation["split"] == "val"], evaluation[evaluation["split"] == "test"]]
    if any(part.empty for part in parts):
        sizes = dict(zip(("train", "val", "test"), map(len, parts), strict=True))
        raise InvalidValueError("a split has no clips", where=request.evaluation, allowed="at least one each", received=sizes)
    total, done = sum(map(len, parts)), 0
    features = []
    for part in parts:
        features.append(_features(part, classes, frames(longest), context))
        done += len(part)
        context.progress(done, total)
    gold = int((tables[0]["split"] == "train").sum())
    return Split(features[0], gold, features[1], features[2], classes, frames(longest))


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


def _features(table: pd.DataFrame, classes: tuple[str, ...], target_frames: int, context: Context) -> Features:
    ordered = table if (table["split"] == "train").all() else table.sort_values("clip_id")
    banks = [fbank(audio.load_mono(context.resolve(path), RATE_HZ), target_frames) for path in ordered["path"]]
    labels = torch.tensor([classes.index(label) for label in ordered["label"]])
    return Features(list(ordered["clip_id"]), torch.stack(banks), labels)
