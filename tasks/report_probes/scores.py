"""Collects probes into encoders, and compares encoders on the folds they share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core import statistics
from core.errors import InvalidValueError
from tasks.report_probes.spec import Run

Array = npt.NDArray[np.float64]


@dataclass
class Encoder:
    """One encoder under one probe, over its seeds."""

    name: str
    probe: str
    metric: str
    training: list[str] = field(default_factory=list)
    """Folders of its trainings, by seed; empty for baselines."""
    folds: list[dict[str, float]] = field(default_factory=list)
    """Score by fold, of every seed."""
    val: list[float] = field(default_factory=list)
    chance: float = 0.0
    heard: int = 0
    """Test clips that it was trained on."""
    per_class: list[dict[str, float]] = field(default_factory=list)

    @property
    def by_fold(self) -> Array:
        """Score of each fold, seeds averaged, [folds]."""
        return np.array([[scores[name] for name in sorted(scores)] for scores in self.folds]).mean(0)

    @property
    def mean(self) -> float:
        """Mean over folds and seeds."""
        return float(self.by_fold.mean())

    @property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean over folds; None for one fold."""
        return statistics.t_interval(self.by_fold)


@dataclass(frozen=True)
class Comparison:
    """One encoder against another under the same probe, paired by fold."""

    delta: float
    interval: tuple[float, float] | None
    p: float | None


def collect(runs: Sequence[Run], resolve: Callable[[str], Path]) -> list[Encoder]:
    """Read the probes; by probe and encoder in order of appearance.

    Raises:
        InvalidValueError: probes of one kind that were scored by different metrics or on different folds.
    """
    found: dict[tuple[str, str], Encoder] = {}
    folds: dict[str, tuple[str, ...]] = {}
    for run in sorted(runs, key=lambda item: [other.probe for other in runs].index(item.probe)):
        scores: dict[str, Any] = json.loads((resolve(run.scores) / "scores.json").read_text(encoding="utf-8"))
        names = (str(scores["metric"]), *sorted(scores["fold_scores"]))
        if folds.setdefault(run.probe, names) != names:
            raise InvalidValueError("scored otherwise than the first", where=run.scores, allowed=folds[run.probe], received=names)
        encoder = found.setdefault((run.probe, run.encoder), Encoder(run.encoder, run.probe, names[0]))
        encoder.folds.append(scores["fold_scores"])
        encoder.val.append(float(scores["val_score"]))
        encoder.per_class.append(scores["per_class_score"])
        encoder.chance, encoder.heard = float(scores["chance"]), max(encoder.heard, int(scores["heard"]))
        encoder.training += [run.training] if run.training else []
    return list(found.values())


def compare(base: Encoder, other: Encoder) -> Comparison:
    """Compare two encoders; with one fold there is a difference and nothing to say how sure it is."""
    differences = other.by_fold - base.by_fold
    return Comparison(float(differences.mean()), statistics.t_interval(differences), statistics.paired_t(differences))


def of_probe(encoders: Sequence[Encoder], probe: str) -> list[Encoder]:
    """Return the encoders under one probe."""
    return [encoder for encoder in encoders if encoder.probe == probe]


def headline(encoders: Sequence[Encoder]) -> str:
    """Return the finding under the first probe: the trained encoder that validates best, against every baseline."""
    first = of_probe(encoders, encoders[0].probe)
    trained, baselines = [item for item in first if item.training], [item for item in first if not item.training]
    if not trained:
        return f"No trained encoder; {first[0].metric} of the baselines under the probe {first[0].probe}."
    best = max(trained, key=lambda item: float(np.mean(item.val)))
    text = f"{best.name}: {100 * best.mean:.1f} % {best.metric} under the probe {best.probe}, chosen by its validation score."
    for baseline in baselines:
        found = compare(baseline, best)
        sure = "" if not found.interval else f" (95 % over folds {100 * found.interval[0]:+.1f} … {100 * found.interval[1]:+.1f})"
        text += f" Against {baseline.name}, {100 * baseline.mean:.1f} %: {100 * found.delta:+.1f} points{sure}."
    return text
