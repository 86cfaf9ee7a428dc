"""Collects evaluations into models, over their seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core import statistics
from core.errors import InvalidValueError
from tasks.report_spatial.spec import Run

TASKS = {
    "SRC": "what sounds, by source embedding", "SPA": "where it sounds, by space embedding",
    "X-SRC": "what sounds, given away by the space embedding", "X-SPA": "where it sounds, given away by the source embedding",
    "Both": "what and where, by both",
}  # fmt: skip
SIDES = {"text_to_audio": "text → sound", "audio_to_text": "sound → text"}
BY = {"retrieval": "clip and RIR", "retrieval_by_words": "words"}
"""Tables of retrieval, by what counts as found."""


@dataclass
class Model:
    """One model over its seeds."""

    name: str
    runs: list[Run] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    """``scores.json`` by seed."""
    trainings: list[dict[str, Any]] = field(default_factory=list)
    """``training.json`` by seed."""
    curves: list[dict[str, Any]] = field(default_factory=list)
    """``curves.json`` by seed."""

    def values(self, *path: str) -> list[float]:
        """Return a score by seed; seeds that lack it, or where it is no number, are left out."""
        found = [at(one, *path) for one in self.scores]
        return [float(one) for one in found if isinstance(one, int | float)]

    def mean(self, *path: str) -> float | None:
        """Return a score's mean over seeds; None where no seed has it."""
        known = self.values(*path)
        return float(np.mean(known)) if known else None

    def interval(self, *path: str) -> tuple[float, float] | None:
        """Return Student's 95 % interval over seeds; None for one seed."""
        return statistics.t_interval(np.array(self.values(*path)))

    def both_ways(self, task: str, name: str) -> list[float]:
        """Return a retrieval score by seed, mean over both directions."""
        sides = [self.values("retrieval", task, side, name) for side in SIDES]
        return [float(np.mean(pair)) for pair in zip(*sides, strict=False)]

    @property
    def val(self) -> float:
        """What it reached on validation, which chooses among models; below all others where nobody looked."""
        known = [float(one["val_top1"]) for one in self.trainings if one.get("val_top1") is not None]
        return float(np.mean(known)) if known else -1.0


def at(values: Any, *path: str) -> Any:
    """Return what lies below some keys; None where there is nothing."""
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def collect(runs: Sequence[Run], resolve: Callable[[str], Path]) -> list[Model]:
    """Read all runs; models in order of appearance.

    Raises:
        InvalidValueError: runs that were scored on grids of different sizes.
    """
    found: dict[str, Model] = {}
    for run in runs:
        model = found.setdefault(run.model, Model(run.model))
        model.runs.append(run)
        model.scores.append(_read(resolve(run.scores) / "scores.json"))
        model.trainings.append(_read(resolve(run.training) / "training.json"))
        model.curves.append(_read(resolve(run.training) / "curves.json"))
    sizes = {one["items"] for model in found.values() for one in model.scores}
    if len(sizes) > 1:
        raise InvalidValueError(
            "scored on different grids", where="report_spatial.runs", allowed="one grid for all", received=sorted(sizes)
        )
    return list(found.values())


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def best(models: Sequence[Model]) -> Model:
    """Return the model that validates best; of equals the first."""
    return max(models, key=lambda model: model.val)


def headline(models: Sequence[Model]) -> str:
    """Return the finding: how far above chance the own factor is found, how far the other one, and how far off directions are."""
    chosen = best(models)
    known = {task: chosen.both_ways(task, "lift@1") for task in TASKS}
    parts = []
    for task, words in (("SRC", "the source"), ("SPA", "the space")):
        if known[task]:
            r1, lift = np.mean(chosen.both_ways(task, "R@1")), np.mean(known[task])
            parts.append(f"{words} is found first in {100 * r1:.1f} % of queries, {lift:.1f} × chance")
    crossed = [f"{np.mean(known[task]):.1f} ×" for task in ("X-SRC", "X-SPA") if known[task]]
    if crossed:
        parts.append(f"the embedding of the other factor gives it away {' and '.join(crossed)} chance (1: not at all)")
    text = f"{chosen.name}: {'; '.join(parts) or 'nothing could be retrieved'}."
    off = chosen.mean("physical", "direction_deg", "median")
    chosen_by = " Chosen among the models by its validation score." if len(models) > 1 else ""
    return text + (f" Directions are {off:.0f}° off in the median (blind: 90°)." if off is not None else "") + chosen_by
