"""Probes fold by fold; writes the scores and one prediction for every test clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from core import atomic
from core.context import Context
from core.contract import to_dict
from core.statistics import t_interval
from tasks.probe import linear, networks
from tasks.probe.spec import Request, Result, Settings
from tasks.probe.task import Task, read, standardized
from tasks.probing.folds import Fold, Rows, folds
from tasks.probing.scores import Array, likelihoods, score
from tasks.probing.summary import by_class, chance
from tasks.training.start import repeatable

Found = tuple[Array, float, str]
"""Scores of the test clips [clips, classes], the validation score, and what was chosen, in words."""


def run(request: Request, context: Context) -> Result:
    """Score one set of embeddings by one probe."""
    repeatable(context)
    task = read(context.locate(request.embeddings), request.settings)
    rounds = folds(task.table, request.settings.folds, request.settings.seed, request.embeddings)
    found: list[Found] = []
    for number, fold in enumerate(rounds):
        found.append(PROBES[request.probe](task, fold, request.settings))
        context.progress(number + 1, len(rounds), "folds")
    result = _result(task, rounds, found)
    atomic.write_json(context.output / "scores.json", {**to_dict(result), "probe": request.probe, "settings": to_dict(request.settings)})
    _write_predictions(task, rounds, found, context)
    context.metric(result.metric, result.score)
    return result


def _linear(task: Task, fold: Fold, settings: Settings) -> Found:
    last: list[Array] = []
    seen: dict[bytes, linear.Design] = {}

    def fit(rows: Rows, array: Array, penalty: float) -> Callable[[Array], Array]:
        if task.kind == "numbers":
            weights = linear.ridge(array[rows], task.targets[rows], penalty)
        else:
            key = rows.tobytes()
            if key not in seen:
                seen[key] = linear.design(array[rows])
            weights = linear.logistic(seen[key], task.targets[rows], penalty, task.kind == "several", last[-1] if last else None)
            last.append(weights)
        return lambda inputs: likelihoods(linear.applied(weights, inputs), task.kind, task.metric)

    return _chosen(task, fold, settings, sorted(settings.linear_penalties), fit, "C")


def _neighbours(task: Task, fold: Fold, settings: Settings) -> Found:
    def fit(rows: Rows, array: Array, number: int) -> Callable[[Array], Array]:
        return lambda inputs: linear.neighbours(array[rows], task.targets[rows], inputs, number)

    return _chosen(task, fold, settings, settings.neighbours, fit, "k")


def _chosen(task: Task, fold: Fold, settings: Settings, choices: Any, fit: Any, name: str) -> Found:
    """Fit every choice on the training clips, keep the best on the validation clips (ties: the first), fit it again and predict."""
    array = standardized(task.array, fold.train) if settings.standardize else task.array
    judged = [score(fit(fold.train, array, choice)(array[fold.val]), task.targets[fold.val], task.kind, task.metric) for choice in choices]
    best = int(np.argmax(judged))
    rows = np.sort(np.concatenate([fold.train, fold.val])) if settings.refit else fold.train
    array = standardized(task.array, rows) if settings.standardize else task.array
    return fit(rows, array, choices[best])(array[fold.test]), judged[best], f"{name} = {choices[best]:g}"


def _arch(task: Task, fold: Fold, settings: Settings) -> Found:
    """ARCH mostly knows no validation fold: with folds, a share of all clips that are not tested on validates, or else the next fold."""
    train, val = fold.train, fold.val
    if fold.name != "test" and settings.arch_val_fraction:
        rows = np.sort(np.concatenate([train, val]))
        order = np.random.default_rng(settings.seed).permutation(rows)
        held = max(1, round(settings.arch_val_fraction * len(rows)))
        val, train = np.sort(order[:held]), np.sort(order[held:])
    probe = networks.arch(_data(task, train, val, settings), settings)
    return probe(task.array[fold.test]), probe.val_score, probe.chosen


def _hear(task: Task, fold: Fold, settings: Settings) -> Found:
    probe = networks.hear(_data(task, fold.train, fold.val, settings), settings)
    return probe(task.array[fold.test]), probe.val_score, probe.chosen


PROBES: dict[str, Callable[[Task, Fold, Settings], Found]] = {"linear": _linear, "knn": _neighbours, "arch": _arch, "hear": _hear}


def _data(task: Task, train: Rows, val: Rows, settings: Settings) -> networks.Data:
    parts = [torch.from_numpy(values[rows]) for rows in (train, val) for values in (task.array, task.targets)]
    return networks.Data(*parts, kind=task.kind, metric=task.metric, seed=settings.seed)


def _result(task: Task, rounds: list[Fold], found: list[Found]) -> Result:
    by_fold = {
        fold.name: score(scores, task.targets[fold.test], task.kind, task.metric)
        for fold, (scores, _, _) in zip(rounds, found, strict=True)
    }
    tested = np.concatenate([fold.test for fold in rounds])
    values = np.array(list(by_fold.values()))
    return Result(
        metric=task.metric, score=float(values.mean()), fold_scores=by_fold, interval=t_interval(values),
        val_score=float(np.mean([val for _, val, _ in found])),
        chosen={fold.name: words for fold, (_, _, words) in zip(rounds, found, strict=True)},
        chance=float(np.mean([chance(task.told, fold, task.metric) for fold in rounds])), clips=len(tested),
        heard=int(task.table["heard"].to_numpy()[tested].sum()),
        classes=task.classes, per_class_score=by_class(task.told, rounds, [scores for scores, _, _ in found], task.metric),
    )  # fmt: skip


def _write_predictions(task: Task, rounds: list[Fold], found: list[Found], context: Context) -> None:
    """Write a row for each test clip: its labels, the one named (the likeliest), its fold, and the score of every class."""
    tables = []
    for fold, (scores, _, _) in zip(rounds, found, strict=True):
        own = task.table.iloc[fold.test]
        columns: dict[str, Any] = {"clip_id": own["clip_id"].tolist(), "label": own["label"].tolist(), "fold": fold.name}
        if task.kind == "numbers":
            columns |= {f"true_{name}": task.targets[fold.test, number] for number, name in enumerate(task.classes)}
        else:
            columns["predicted"] = [task.classes[number] for number in scores.argmax(1).tolist()]
        tables.append(pd.DataFrame(columns | {f"score_{name}": scores[:, number] for number, name in enumerate(task.classes)}))
    with atomic.replacing(context.output / "predictions.parquet") as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary, index=False)
