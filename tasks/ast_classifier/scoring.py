"""Predictions and what they are worth: accuracy, F1 and confusion for one label a clip, mean average precision for several."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import (
    binary_average_precision,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multilabel_f1_score,
)
from transformers import ASTForAudioClassification

from tasks.ast_classifier.clips import Features
from tasks.ast_classifier.model import encode
from tasks.matmul import number_format

WINDOWS_AT_ONCE = 32
LIKELY = 0.5
"""Multi-label: a clip is said to have a class from this probability on."""


def loss(logits: Tensor, targets: Tensor, several: bool, smoothing: float) -> Tensor:
    """Return cross-entropy, or with several labels a clip binary cross-entropy, of logits [clips, classes]."""
    if several:
        return functional.binary_cross_entropy_with_logits(logits, targets)
    return functional.cross_entropy(logits, targets, label_smoothing=smoothing)


def validation_loss(probabilities: Tensor, targets: Tensor, several: bool) -> float:
    """Return the mean negative log-likelihood of probabilities [clips, classes]."""
    likely = probabilities.double().clamp(1e-9, 1 - 1e-9)
    if several:
        return float(functional.binary_cross_entropy(likely, targets.double()))
    return float(functional.nll_loss(likely.log(), targets.argmax(1)))


def windows(lengths: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Return the windows that clips are predicted in: evenly spaced from first to last frame, overlapping by half or a little more.

    Returns:
        the clip of each window and its first frame, both [windows].
    """
    clips, starts = [], []
    for clip, length in enumerate(lengths.tolist()):
        beyond = max(0, length - frames)
        number = 1 + -(-2 * beyond // frames)
        starts += [round(beyond * i / max(1, number - 1)) for i in range(number)]
        clips += [clip] * number
    return torch.tensor(clips), torch.tensor(starts)


@torch.no_grad()
def predict(model: ASTForAudioClassification, features: Features, frames: int, several: bool, precision: str, device: str) -> Tensor:
    """Return class probabilities [clips, classes], on the CPU: the mean over each clip's windows."""
    model.eval()
    clips, starts = windows(features.lengths, frames)
    parts = []
    for part, first in zip(clips.split(WINDOWS_AT_ONCE), starts.split(WINDOWS_AT_ONCE), strict=True):
        banks = features.banks[part[:, None], first[:, None] + torch.arange(frames)]
        with number_format(device, precision):
            vectors = encode(model, banks.to(device))
        logits = model.classifier(vectors.float())
        parts.append((logits.sigmoid() if several else logits.softmax(-1)).cpu())
    number = torch.bincount(clips, minlength=len(features.clip_ids))
    summed = torch.zeros(len(features.clip_ids), parts[0].shape[1]).index_add_(0, clips, torch.cat(parts))
    return summed / number[:, None]


def accuracy(probabilities: Tensor, targets: Tensor, several: bool) -> float:
    """Return the share of clips whose most probable class is theirs; with several labels, of those whose labels are all right."""
    right = ((probabilities >= LIKELY) == (targets > 0)).all(1) if several else probabilities.argmax(1) == targets.argmax(1)
    return round(float(right.float().mean()), 6)


def average_precision(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return each class's average precision [classes]; NaN for a class that no clip has."""
    # torchmetrics gives 0 to a class without a clip and lets it into the mean: hence class by class.
    pairs = zip(probabilities.T, targets.T.long(), strict=True)
    return torch.stack([binary_average_precision(said, truth) if truth.any() else torch.tensor(torch.nan) for said, truth in pairs])


def score(probabilities: Tensor, targets: Tensor, several: bool) -> float:
    """Return what a step is selected by: accuracy, or the unweighted mean of average precision over the classes that occur."""
    if not several:
        return accuracy(probabilities, targets, several)
    return round(float(average_precision(probabilities, targets).nanmean()), 6)


def tested(probabilities: Tensor, targets: Tensor, classes: tuple[str, ...], several: bool) -> dict[str, Any]:
    """Return the fields of ``spec.Result`` that describe the test clips."""
    number, labels = len(classes), targets.argmax(1)
    if several:
        said, truth = (probabilities >= LIKELY).long(), targets.long()
        f1 = multilabel_f1_score(said, truth, number, average="macro")
        confusion: tuple[tuple[int, ...], ...] = ()
        recall = (said * truth).sum(0) / truth.sum(0).clamp(min=1)
        by_class = average_precision(probabilities, targets)
    else:
        predicted = probabilities.argmax(1)
        f1 = multiclass_f1_score(predicted, labels, number, average="macro")
        matrix = multiclass_confusion_matrix(predicted, labels, number)
        confusion = tuple(tuple(int(cell) for cell in row) for row in matrix)
        recall = matrix.diag() / matrix.sum(1).clamp(min=1)
        by_class = multiclass_f1_score(predicted, labels, number, average="none")
    return {
        "metric": "mAP" if several else "accuracy", "test_accuracy": accuracy(probabilities, targets, several),
        "test_score": score(probabilities, targets, several), "test_macro_f1": round(float(f1), 4), "confusion": confusion,
        "per_class_accuracy": {name: round(float(value), 4) for name, value in zip(classes, recall, strict=True)},
        "per_class_score": {name: round(float(value), 4) for name, value in zip(classes, by_class, strict=True) if value == value},
    }  # fmt: skip


def table(name: str, features: Features, probabilities: Tensor, classes: tuple[str, ...], separator: str) -> pd.DataFrame:
    """Return the predictions of a split, one row a clip. Several labels are joined by the separator, in the classes' order."""
    columns: dict[str, Any] = {"clip_id": features.clip_ids, "split": name}
    if separator:
        for column, chosen in (("label", features.targets > 0), ("predicted", probabilities >= LIKELY)):
            columns[column] = [separator.join(classes[i] for i in row.nonzero()[:, 0].tolist()) for row in chosen]
    else:
        for column, numbers in (("label", features.labels), ("predicted", probabilities.argmax(1))):
            columns[column] = [classes[int(number)] for number in numbers]
    columns |= {f"p_{label}": probabilities[:, i].numpy().round(6) for i, label in enumerate(classes)}
    return pd.DataFrame(columns)
