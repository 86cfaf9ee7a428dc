"""Collects the trainings of a study into one row per arm."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import InvalidValueError
from tasks.report import statistics
from tasks.report.spec import ArmRun, Settings


@dataclass
class Arm:
    """An arm's trainings over its seeds."""

    name: str
    test: list[float] = field(default_factory=list)
    val: list[float] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)
    clips: int = 0
    classes: tuple[str, ...] = ()
    confusion: npt.NDArray[np.int64] | None = None
    correct: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    """Per seed, whether each test clip was right, clips sorted by id."""
    curves: list[list[tuple[float, float]]] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean test accuracy."""
        return float(np.mean(self.test))

    @property
    def share(self) -> npt.NDArray[np.float64]:
        """Share of seeds that got each test clip right."""
        return np.mean(np.stack(self.correct), axis=0)

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """Test recall per class over all seeds."""
        assert self.confusion is not None
        return np.diag(self.confusion) / np.maximum(1, self.confusion.sum(1))


def collect(runs: Sequence[ArmRun], resolve: object) -> list[Arm]:
    """Read the trainings; arms in order of appearance.

    Args:
        runs: the trainings.
        resolve: turns a data-root-relative path into a file path.
    """
    arms: dict[str, Arm] = {}
    clips: tuple[str, ...] | None = None
    for run in runs:
        folder: Path = resolve(run.path)  # type: ignore[operator]
        arm = arms.setdefault(run.arm, Arm(run.arm))
        result = json.loads((folder / "result.json").read_text())
        arm.test.append(result["test_accuracy"])
        arm.val.append(result["val_accuracy"])
        arm.f1.append(result["test_macro_f1"])
        arm.clips, arm.classes = result["train_clips"], tuple(result["classes"])
        matrix = np.array(result["confusion"], dtype=np.int64)
        arm.confusion = matrix if arm.confusion is None else arm.confusion + matrix
        predictions = pd.read_parquet(folder / "predictions.parquet")
        test = predictions[predictions["split"] == "test"].sort_values("clip_id")
        tested = tuple(test["clip_id"])
        if clips is not None and tested != clips:
            raise InvalidValueError(
                "other test clips than the first arm's", where=run.path, allowed="the same test clips", received=len(tested)
            )
        clips = tested
        arm.correct.append((test["label"] == test["predicted"]).to_numpy())
        curve = json.loads((folder / "curves.json").read_text())
        arm.curves.append([(point["step"], point["val_accuracy"]) for point in curve if point.get("val_accuracy") is not None])
    return list(arms.values())


def percent(value: float) -> str:
    """Return a share as a percentage with one digit."""
    return f"{100 * value:.1f}"


def rows(arms: Sequence[Arm], settings: Settings) -> list[dict[str, str]]:
    """Return the score table, one row an arm, everything as text in percent."""
    made = []
    for arm in arms:
        interval = statistics.t_interval(np.array(arm.test))
        row = {
            "arm": arm.name, "test": percent(arm.mean), "sd": percent(float(np.std(arm.test, ddof=1))) if len(arm.test) > 1 else "–",
            "interval": f"{percent(max(0.0, interval[0]))} … {percent(min(1.0, interval[1]))}" if interval else "–",
            "delta": "–", "delta_interval": "–", "p": "–", "f1": percent(float(np.mean(arm.f1))), "val": percent(float(np.mean(arm.val))),
            "clips": str(arm.clips), "seeds": str(len(arm.test)),
        }  # fmt: skip
        if arm is not arms[0]:
            low, high = statistics.paired_bootstrap(arms[0].share, arm.share, settings.bootstrap_draws, settings.seed)
            row["delta"] = f"{100 * (arm.mean - arms[0].mean):+.1f}"
            row["delta_interval"] = f"{100 * low:+.1f} … {100 * high:+.1f}"
            row["p"] = f"{statistics.sign_flip(arms[0].share, arm.share, settings.bootstrap_draws, settings.seed):.3f}"
        made.append(row)
    return made


def headline(arms: Sequence[Arm], settings: Settings) -> str:
    """Return the finding in one sentence, of the arm that is best on validation, chance included."""
    base = arms[0]
    seeds = f"{len(base.test)} seed" + ("s" if len(base.test) > 1 else "")
    if len(arms) == 1:
        return f"{base.name}: {percent(base.mean)} % test accuracy over {seeds}."
    best = max(arms[1:], key=lambda arm: float(np.mean(arm.val)))  # never by test accuracy: that would be tuning on the test set
    low, high = statistics.paired_bootstrap(base.share, best.share, settings.bootstrap_draws, settings.seed)
    verdict = "it helps" if low > 0 else "it hurts" if high < 0 else "not clear: the interval holds zero"
    return (
        f"{best.name} {percent(best.mean)} % against {base.name} {percent(base.mean)} %: {100 * (best.mean - base.mean):+.1f} points, "
        f"95 % interval over clips {100 * low:+.1f} … {100 * high:+.1f} at {seeds}; {verdict}."
    )


def as_text(table: Sequence[dict[str, str]]) -> str:
    """Return the score table for a terminal."""
    columns = [("arm", "arm"), ("test", "test %"), ("sd", "sd"), ("delta", "Δ"), ("delta_interval", "95 % over clips"), ("val", "val %"),
               ("clips", "clips"), ("seeds", "seeds")]  # fmt: skip
    widths = [max(len(title), *(len(row[name]) for row in table)) for name, title in columns]
    lines = [
        "  ".join(
            title.ljust(width) if i == 0 else title.rjust(width) for i, ((_, title), width) in enumerate(zip(columns, widths, strict=True))
        )
    ]
    for row in table:
        lines.append(
            "  ".join(
                row[name].ljust(w) if i == 0 else row[name].rjust(w) for i, ((name, _), w) in enumerate(zip(columns, widths, strict=True))
            )
        )
    return "\n".join(lines)
