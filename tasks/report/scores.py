"""Collects the trainings of a study into arms, and the arms of one size of the gold set into a section with one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core import statistics, tables
from core.errors import InvalidValueError
from tasks.report.spec import ArmRun, Settings

Array = npt.NDArray[np.float64]
UNITS = {
    "draws": ("95 % over draws, paired t", "p, paired t over draws"),
    "seeds": ("95 % over seeds, paired t", "p, paired t over seeds"),
    "clips": ("95 % over test clips, bootstrap", "p, sign flip over test clips"),
}
"""What the interval and the p of a difference are taken over, and the titles of their columns."""


@dataclass
class Run:
    """One training."""

    draw: int
    seed: int
    test: float
    val: float
    f1: float
    clips: int
    correct: npt.NDArray[np.bool_]
    """Whether each test clip was right, clips sorted by id; meaningless for mAP."""
    curve: list[tuple[float, float]]
    """Validation score by step."""
    confusion: npt.NDArray[np.int64]
    per_class: dict[str, float]


@dataclass
class Arm:
    """An arm's trainings on one size of the gold set."""

    name: str
    num_samples: int
    metric: str
    classes: tuple[str, ...]
    runs: list[Run] = field(default_factory=list)

    @property
    def test(self) -> Array:
        """Test score of every run."""
        return np.array([run.test for run in self.runs])

    @property
    def mean(self) -> float:
        """Mean test score."""
        return float(self.test.mean())

    @property
    def val(self) -> float:
        """Mean validation score."""
        return float(np.mean([run.val for run in self.runs]))

    @property
    def draws(self) -> list[int]:
        """Draws it was trained on."""
        return sorted({run.draw for run in self.runs})

    @property
    def seeds(self) -> list[int]:
        """Training seeds."""
        return sorted({run.seed for run in self.runs})

    @property
    def confusion(self) -> npt.NDArray[np.int64] | None:
        """Test clips of all runs by true and predicted class; None for several labels a clip."""
        matrices = [run.confusion for run in self.runs if run.confusion.size]
        return np.sum(matrices, axis=0) if matrices else None

    @property
    def per_class(self) -> dict[str, float]:
        """Test recall per class over all runs; for mAP the mean of the classes' average precision."""
        if self.confusion is not None:
            recall = np.diag(self.confusion) / np.maximum(1, self.confusion.sum(1))
            return {name: float(value) for name, value in zip(self.classes, recall, strict=True)}
        found = {name: [run.per_class[name] for run in self.runs if name in run.per_class] for name in self.classes}
        return {name: float(np.mean(values)) for name, values in found.items() if values}


def collect(runs: Sequence[ArmRun], resolve: Callable[[str], Path]) -> list[Arm]:
    """Read the trainings; arms by (size, name) in order of appearance.

    Args:
        runs: the trainings.
        resolve: turns a data-root-relative path into a file path.

    Raises:
        InvalidValueError: trainings that were tested on different clips, scored by different metrics, or are named twice.
    """
    arms: dict[tuple[int, str], Arm] = {}
    tested: dict[int, tuple[str, ...]] = {}  # by draw: in a cross-validation every draw has a test fold of its own
    for run in runs:
        result = json.loads((resolve(run.path) / "result.json").read_text())
        found, clips = _read(run, result, resolve(run.path))
        if clips != tested.setdefault(run.draw, clips):
            raise InvalidValueError(
                "other test clips than the draw's first training", where=run.path, allowed="the same test clips", received=len(clips)
            )
        new = Arm(run.arm, run.num_samples, result.get("metric", "accuracy"), tuple(result["classes"]))
        arm = arms.setdefault((run.num_samples, run.arm), new)
        first = next(iter(arms.values()))
        if new.metric != first.metric:
            raise InvalidValueError(
                "scored by another metric than the first arm", where=run.path, allowed=first.metric, received=new.metric
            )
        if (run.draw, run.seed) in {(known.draw, known.seed) for known in arm.runs}:
            raise InvalidValueError(
                "a training is named twice", where=f"report.arms ({run.arm}, n={run.num_samples})", allowed="each draw and seed once",
                received=(run.draw, run.seed),
            )  # fmt: skip
        arm.runs.append(found)
    return list(arms.values())


def _read(run: ArmRun, result: dict[str, Any], folder: Path) -> tuple[Run, tuple[str, ...]]:
    """Return one training and the ids of its test clips."""
    several = result.get("metric", "accuracy") != "accuracy"
    predictions = pd.read_parquet(folder / "predictions.parquet")
    test = predictions[predictions["split"] == "test"].sort_values("clip_id")
    curve = json.loads((folder / "curves.json").read_text())
    points = [(point["step"], point.get("val_score", point.get("val_accuracy"))) for point in curve]
    made = Run(
        draw=run.draw, seed=run.seed, test=result["test_score" if several else "test_accuracy"],
        val=result["val_score" if several else "val_accuracy"], f1=result["test_macro_f1"], clips=result["train_clips"],
        correct=(test["label"] == test["predicted"]).to_numpy(), curve=[point for point in points if point[1] is not None],
        confusion=np.array(result["confusion"], dtype=np.int64), per_class=result.get("per_class_score") or {},
    )  # fmt: skip
    return made, tuple(test["clip_id"])


@dataclass(frozen=True)
class Comparison:
    """An arm against the first one, over the (draw, seed) pairs that both have."""

    delta: float
    interval: tuple[float, float] | None = None
    p: float | None = None
    p_sign_flip: float | None = None
    """Exact sign-flip p over draws or seeds."""
    interval_runs: tuple[float, float] | None = None
    """Student t interval over all (draw, seed) pairs: too narrow as far as seeds of one draw resemble each other."""


@dataclass
class Section:
    """All arms on one size of the gold set."""

    num_samples: int
    arms: list[Arm]

    @property
    def unit(self) -> str:
        """What differences are taken over: draws from two on; else test clips, or for mAP, which is no mean over clips, seeds."""
        base = self.arms[0]
        return "draws" if len(base.draws) > 1 else "clips" if base.metric == "accuracy" else "seeds"

    @property
    def size(self) -> str:
        """``n = 50: 5 draws × 2 seeds``."""
        base, parts = self.arms[0], []
        for count, word in ((len(base.draws), "draw"), (len(base.seeds), "seed")):
            parts.append(f"{count} {word}{'s' if count > 1 else ''}")
        return (f"n = {self.num_samples}: " if self.num_samples else "") + " × ".join(parts)


def sections(arms: Sequence[Arm]) -> list[Section]:
    """Return the arms by size of the gold set, in order of appearance."""
    sizes = list(dict.fromkeys(arm.num_samples for arm in arms))
    return [Section(size, [arm for arm in arms if arm.num_samples == size]) for size in sizes]


def compare(base: Arm, arm: Arm, unit: str, settings: Settings) -> Comparison:
    """Compare two arms; the pairs are the (draw, seed) they share, so that both had the same gold clips and the same start.

    With several draws the unit is the draw, seeds averaged inside: seeds of one draw share its gold clips and are no independent evidence.
    """
    pairs = {(run.draw, run.seed): run for run in base.runs}
    shared = [(pairs[run.draw, run.seed], run) for run in arm.runs if (run.draw, run.seed) in pairs]
    if not shared:
        return Comparison(arm.mean - base.mean)
    every = np.array([second.test - first.test for first, second in shared])
    if unit == "clips":
        first, second = (np.mean(np.stack([pair[side].correct for pair in shared]), axis=0) for side in (0, 1))
        interval = statistics.paired_bootstrap(first, second, settings.bootstrap_draws, settings.seed)
        return Comparison(float(every.mean()), interval, statistics.sign_flip(first, second, settings.bootstrap_draws, settings.seed))
    keys = [pair[1].draw if unit == "draws" else pair[1].seed for pair in shared]
    means = np.array([every[[key == own for own in keys]].mean() for key in sorted(set(keys))])
    return Comparison(
        float(means.mean()), statistics.t_interval(means), statistics.paired_t(means),
        statistics.exact_sign_flip(means) if len(means) > 1 else None, statistics.t_interval(every),
    )  # fmt: skip


def percent(value: float) -> str:
    """Return a share as a percentage with one digit."""
    return f"{100 * value:.1f}"


def points(interval: tuple[float, float] | None) -> str:
    """Return an interval of differences in percentage points, signed."""
    return f"{100 * interval[0]:+.1f} … {100 * interval[1]:+.1f}" if interval else "–"


def chance(p: float | None) -> str:
    """Return a p with three digits, never as zero."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def rows(section: Section, settings: Settings) -> list[dict[str, str]]:
    """Return the score table of a section, one row an arm, everything as text in percent."""
    made, base = [], section.arms[0]
    for arm in section.arms:
        interval = statistics.t_interval(arm.test)
        row = {
            "n": str(section.num_samples or "–"), "arm": arm.name, "metric": arm.metric, "test": percent(arm.mean),
            "sd": percent(float(arm.test.std(ddof=1))) if len(arm.test) > 1 else "–",
            "interval": f"{percent(max(0.0, interval[0]))} … {percent(min(1.0, interval[1]))}" if interval else "–",
            "delta": "–", "delta_interval": "–", "delta_unit": section.unit, "p": "–", "p_sign_flip": "–", "delta_interval_runs": "–",
            "f1": percent(float(np.mean([run.f1 for run in arm.runs]))), "val": percent(arm.val),
            "clips": str(round(np.mean([run.clips for run in arm.runs]))), "draws": str(len(arm.draws)), "seeds": str(len(arm.seeds)),
        }  # fmt: skip
        if arm is not base:
            found = compare(base, arm, section.unit, settings)
            row |= {
                "delta": f"{100 * found.delta:+.1f}", "delta_interval": points(found.interval), "p": chance(found.p),
                "p_sign_flip": chance(found.p_sign_flip), "delta_interval_runs": points(found.interval_runs),
            }  # fmt: skip
        made.append(row)
    return made


def best(section: Section) -> Arm:
    """Return the arm that is best on validation; never by test score, which would be tuning on the test set."""
    return max(section.arms[1:] or section.arms, key=lambda arm: arm.val)


def headline(section: Section, settings: Settings) -> str:
    """Return the finding in one sentence, of the arm that is best on validation, chance included."""
    base = section.arms[0]
    if len(section.arms) == 1:
        return f"{base.name}: {percent(base.mean)} % test {base.metric}, {section.size}."
    chosen = best(section)
    found = compare(base, chosen, section.unit, settings)
    what = f"{chosen.name} is best on validation: {percent(chosen.mean)} % test {base.metric} against {base.name} {percent(base.mean)} %"
    if found.interval is None:
        return f"{what}, {100 * found.delta:+.1f} points, {section.size}; too few runs to tell it from chance."
    low, high = found.interval
    verdict = "it helps" if low > 0 else "it hurts" if high < 0 else "not clear: the interval holds zero"
    over = f"over {section.unit if section.unit != 'clips' else 'test clips'}"
    return f"{what}, {100 * found.delta:+.1f} points, 95 % interval {over} {points(found.interval)}, {section.size}; {verdict}."


def as_text(parts: Sequence[tuple[Section, Sequence[dict[str, str]]]]) -> str:
    """Return the score tables for a terminal."""
    made = []
    for section, table in parts:
        columns = [("arm", "arm"), ("test", f"test {section.arms[0].metric} %"), ("sd", "sd"), ("delta", "Δ"),
                   ("delta_interval", UNITS[section.unit][0].split(",")[0]), ("p", "p"), ("val", "val %"), ("clips", "clips"),
                   ("draws", "draws"), ("seeds", "seeds")]  # fmt: skip
        lines = [section.size] if len(parts) > 1 else []
        made.append("\n".join([*lines, tables.as_text(dict(columns), table)]))
    return "\n\n".join(made)
