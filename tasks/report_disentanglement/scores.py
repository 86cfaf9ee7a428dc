"""Reads the trainings of a study, puts them together by method, and says what differs and how sure that is."""

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
from tasks.report_disentanglement.spec import LEGACY, METRICS, Run

SPOKEN = {
    "vae": "VAE", "beta_vae": "β-VAE", "beta_tcvae": "β-TCVAE", "factor_vae": "FactorVAE", "dip_vae_ii": "DIP-VAE-II",
    "annealed_vae": "annealed β-VAE",
}  # fmt: skip
"""How methods are written."""
CONVENTIONS = {"corrected": tuple(METRICS), "legacy": LEGACY}
BASELINES = {"random": "random codes", "oracle": "oracle codes"}
"""What stands beside every score."""
PREFIX = {"corrected": "baseline_", "legacy": "legacy_baseline_"}
"""What a baseline's scores are called in ``scores.json``, by convention."""


@dataclass
class Trained:
    """One training."""

    run: Run
    scores: dict[str, Any]
    """``scores.json`` of its evaluation."""
    training: dict[str, Any]
    """``training.json``."""
    curves: dict[str, list[tuple[float, float]]]
    """``curves.json``."""

    def found(self, convention: str, metric: str) -> tuple[float, float, int] | None:
        """Return a score's mean over the evaluation's repeats, their standard deviation and number; None where it was not scored."""
        entry = self.scores.get(convention, {}).get(metric)
        if entry is None and (convention, metric) == ("corrected", "udr"):
            entry = self.scores.get("udr")
        if not isinstance(entry, dict):
            entry = {"mean": entry}
        mean = entry.get("mean")
        return None if mean is None else (float(mean), float(entry.get("sd") or 0.0), int(entry.get("repeats") or 1))

    @property
    def effective_beta(self) -> float | None:
        """Last effective β of the training."""
        points = self.curves.get("effective_beta")
        return points[-1][1] if points else None


@dataclass(frozen=True)
class Score:
    """One metric of one method."""

    values: tuple[float, ...]
    """One for each training seed: the mean over its evaluation repeats."""
    mean: float
    """Over the training seeds."""
    sd: float | None
    """Standard deviation over the training seeds; None for one."""
    interval: tuple[float, float] | None
    """Student's 95 % interval of the mean over the training seeds; None for one."""
    evaluation_sd: float
    """Standard deviation over evaluation repeats of one training, root mean square over the trainings: noise of the metric itself."""
    repeats: int
    """Evaluation repeats of each training."""


@dataclass
class Method:
    """All trainings of a method."""

    name: str
    runs: list[Trained] = field(default_factory=list)

    @property
    def spoken(self) -> str:
        """How it is written."""
        return SPOKEN.get(self.name, self.name)

    def score(self, convention: str, metric: str) -> Score | None:
        """Return a metric over the training seeds; None where no training has it."""
        return _score([found for run in self.runs if (found := run.found(convention, metric))])


def _score(found: list[tuple[float, float, int]]) -> Score | None:
    if not found:
        return None
    values = np.array([mean for mean, _, _ in found])
    noise = float(np.sqrt(np.mean([sd**2 for _, sd, _ in found])))
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    return Score(
        tuple(values.tolist()), float(values.mean()), spread, statistics.t_interval(values), noise, max(repeats for _, _, repeats in found)
    )


def collect(runs: Sequence[Run], resolve: Callable[[str], Path]) -> list[Method]:
    """Read the trainings, by method in order of appearance.

    Args:
        runs: the trainings.
        resolve: turns a data-root-relative path into a file path.

    Raises:
        InvalidValueError: a training is of another method or seed than it is said to be, or trained on other features than the first.
    """
    methods: dict[str, Method] = {}
    digest = None
    for run in runs:
        folder = resolve(run.model)
        training = _read(folder / "training.json")
        for name, allowed in (("method", run.method), ("seed", run.seed)):
            if training.get(name, allowed) != allowed:
                raise InvalidValueError(f"another {name}", where=run.model, allowed=allowed, received=training[name])
        own = training.get("features_digest")
        if digest is not None and own is not None and own != digest:
            raise InvalidValueError("trained on other features than the first training", where=run.model, allowed=digest, received=own)
        digest = digest or own
        curves = {name: [(float(step), float(value)) for step, value in points] for name, points in _read(folder / "curves.json").items()}
        trained = Trained(run, _read(resolve(run.scores) / "scores.json"), training, curves)
        methods.setdefault(run.method, Method(run.method)).runs.append(trained)
    return list(methods.values())


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InvalidValueError("not there", where=str(path), allowed="the output of a finished stage", received="no such file")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def baseline(methods: Sequence[Method], convention: str, name: str, metric: str) -> float | None:
    """Return what ``random`` or ``oracle`` codes score by a convention, the mean over all evaluations."""
    found = [own[0] for method in methods for run in method.runs if (own := run.found(PREFIX[convention] + name, metric))]
    return float(np.mean(found)) if found else None


def ranking(methods: Sequence[Method], convention: str, metric: str) -> list[Method]:
    """Return the methods that have a score, the best first; equal ones as listed."""
    scored = [(score.mean, method) for method in methods if (score := method.score(convention, metric))]
    return [method for _, method in sorted(scored, key=lambda pair: -pair[0])]


def overlapping(methods: Sequence[Method], convention: str, metric: str) -> list[Method] | None:
    """Return the methods whose interval overlaps that of the first in the ranking; None when an interval is missing."""
    order = ranking(methods, convention, metric)
    scores = [method.score(convention, metric) for method in order]
    if not order or any(score is None or score.interval is None for score in scores):
        return None
    lowest = scores[0].interval[0]  # type: ignore[union-attr,index]
    return [method for method, score in zip(order[1:], scores[1:], strict=True) if score.interval[1] >= lowest]  # type: ignore[union-attr,index]


def agreement(methods: Sequence[Method], metric: str) -> tuple[int, int]:
    """Return how many pairs of methods both conventions order alike, and how many pairs there are (Kendall, 1938)."""
    places = [{method.name: place for place, method in enumerate(ranking(methods, name, metric))} for name in CONVENTIONS]
    names = [name for name in places[0] if name in places[1]]
    pairs = [(one, two) for number, one in enumerate(names) for two in names[number + 1 :]]
    alike = sum((places[0][one] < places[0][two]) == (places[1][one] < places[1][two]) for one, two in pairs)
    return alike, len(pairs)


def headline(methods: Sequence[Method], metric: str) -> list[str]:
    """Return the finding: who is first, how sure that is, and what the published convention would have said."""
    order, title = ranking(methods, "corrected", metric), METRICS[metric]
    if not order:
        return [f"No method has a corrected {title}."]
    first = order[0]
    score = first.score("corrected", metric)
    assert score is not None
    seeds = f"{len(score.values)} training seed{'s' if len(score.values) > 1 else ''}"
    floor, ceiling = (baseline(methods, "corrected", name, metric) for name in BASELINES)
    beside = "".join(
        f", {name} {number(value)}" for name, value in (("random codes", floor), ("oracle codes", ceiling)) if value is not None
    )
    if floor is not None and ceiling is not None and ceiling > floor:
        beside += f" ({100 * (score.mean - floor) / (ceiling - floor):.0f} % of the way from these to those)"
    interval = f", 95 % interval {spoken_interval(score.interval)}" if score.interval else ""
    said = [
        f"{first.spoken} is first by corrected {title}: {number(score.mean)}{interval} over {seeds}{beside}. {_how_sure(methods, metric)}"
    ]
    legacy = ranking(methods, "legacy", metric)
    if legacy and len(order) > 1:
        alike, pairs = agreement(methods, metric)
        who = "also" if legacy[0] is first else legacy[0].spoken
        said.append(
            f"The published (legacy) convention puts {who} {'this one ' if legacy[0] is first else ''}first"
            f" and orders {alike} of {pairs} pairs of methods as the corrected one does."
        )
    dead = [
        f"{SPOKEN.get(method.name, method.name)} {run.run.seed}"
        for method in methods
        for run in method.runs
        if run.training.get("collapsed")
    ]
    said += [f"Collapsed trainings, whose codes carry nothing: {', '.join(dead)}."] if dead else []
    return said


def _how_sure(methods: Sequence[Method], metric: str) -> str:
    """Return the sentence about overlapping intervals."""
    order = ranking(methods, "corrected", metric)
    if len(order) < 2:
        return "There is no other method to compare it with."
    close = overlapping(methods, "corrected", metric)
    if close is None:
        return "With one training of a method there is no interval over training seeds: the order may be chance."
    values = [np.array(method.score("corrected", metric).values) for method in order[:2]]  # type: ignore[union-attr]
    p = statistics.welch_t(*values)
    test = f"Welch's t against {order[1].spoken}: p {chance(p)}"
    if not close:
        return f"Its interval overlaps no other method's ({test})."
    return (
        f"Its interval overlaps that of {spoken_list([method.spoken for method in close])}: this study does not tell them apart ({test})."
    )


def spoken_list(names: Sequence[str]) -> str:
    """Return names as they are said: ``A``, ``A and B``, ``A, B and C``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def number(value: float | None) -> str:
    """Return a score with three digits after the point."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.3f}".replace("-0.000", "0.000")


def spoken_interval(interval: tuple[float, float] | None) -> str:
    """Return an interval."""
    return f"{number(interval[0])} … {number(interval[1])}" if interval else "–"


def plus_minus(score: Score | None) -> str:
    """Return mean ± half of the 95 % interval, or the mean alone where there is one seed."""
    if score is None:
        return "–"
    return f"{number(score.mean)} ± {number(score.interval[1] - score.mean)}" if score.interval else number(score.mean)


def chance(p: float | None) -> str:
    """Return a p with three digits, never as zero."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def matrix(trained: Trained) -> tuple[list[str], list[str], npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Return factors, codes, their mutual information in bits [factors, codes], and the factors' entropies in bits [factors]."""
    found = trained.scores.get("mutual_information")
    if not found:
        return None
    bits = np.array([[np.nan if cell is None else cell for cell in row] for row in found["bits"]], dtype=np.float64)
    names = [str(name) for name in found["factors"]]
    entropies = trained.scores.get("factor_entropy_bits") or {}
    listed = [entropies.get(name) for name in names] if isinstance(entropies, dict) else list(entropies)
    full = [value or float(np.nanmax(row, initial=0.0)) for value, row in zip(listed, bits, strict=False)]
    return names, [str(name) for name in found["codes"]], bits, np.array(full or [np.nanmax(bits)] * len(names), dtype=np.float64)
