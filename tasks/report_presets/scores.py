"""Collects evaluations into encoders, and makes the tables: drawn presets, presets made by hand, and how far apart they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core import statistics
from core.errors import InvalidValueError
from tasks.report_presets.spec import Run

Array = npt.NDArray[np.float64]
Table = tuple[str, dict[str, str], list[dict[str, str]]]
"""Name, titles by column, rows of text."""
SETS = {"sampled": "drawn", "hand_crafted": "hand-crafted"}
"""Pools under test as ``scores.json`` calls them, and in words."""
DIRECTIONS = {"preset_query": "preset → sounds", "audio_query": "sound → presets"}
"""What is looked for by what."""
SHARED = ("synth", "audio_model", "distance")
"""What evaluations must have in common for their scores to stand in one table."""


@dataclass
class Encoder:
    """One encoder, over its trainings."""

    name: str
    runs: list[Run] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    """``scores.json`` of each."""
    trainings: list[dict[str, Any]] = field(default_factory=list)
    """``training.json`` of each."""
    curves: list[dict[str, list[list[float]]]] = field(default_factory=list)
    """``curves.json`` of each."""

    @property
    def weights(self) -> int:
        """Number of weights."""
        return int(self.told[0]["parameters"])

    @property
    def val_mrr(self) -> float:
        """Mean over the trainings, of validation rankings."""
        return float(np.mean([one["validation"]["mrr"] for one in self.told]))

    def each(self, pool: str, score: str, direction: str = "preset_query") -> Array:
        """Return a score of a pool, of each training; ``l1``, or one of the rankings' scores."""
        if score == "l1":
            return np.array([one[pool]["l1"] for one in self.told])
        return np.array([one[pool]["ranks"][direction][score]["mean"] for one in self.told])

    def mean(self, pool: str, score: str, direction: str = "preset_query") -> float:
        """Return a score's mean over the trainings."""
        return float(self.each(pool, score, direction).mean())

    def deviation(self, pool: str, direction: str = "preset_query") -> float:
        """Return the standard deviation of the MRR over the draws of one against all; the mean of the trainings'."""
        return float(np.mean([one[pool]["ranks"][direction]["mrr"]["sd"] for one in self.told]))

    def interval(self, pool: str) -> tuple[float, float] | None:
        """Return an interval of the MRR: with several trainings Student's 95 % of their mean, with one the middle 95 % of its draws, as if
        they were normal; None where there was one of each."""
        if len(self.told) > 1:
            return statistics.t_interval(self.each(pool, "mrr"))
        spread = 1.96 * self.deviation(pool)
        mean = self.mean(pool, "mrr")
        return (mean - spread, mean + spread) if spread else None

    def chance(self, pool: str) -> dict[str, float]:
        """Return the scores of a random order among as many candidates."""
        found: dict[str, float] = self.told[0][pool]["chance"]
        return found

    def difference(self, score: str) -> float:
        """Return the relative difference of presets made by hand from drawn ones, 100 (h − d) / d."""
        drawn, by_hand = (self.mean(pool, score) for pool in SETS)
        return 100 * (by_hand - drawn) / drawn


def collect(runs: Sequence[Run], resolve: Callable[[str], Path]) -> list[Encoder]:
    """Read the evaluations; by encoder in order of appearance.

    Raises:
        InvalidValueError: evaluations by another synthesiser, audio model or distance, or on pools of another size, than the first.
    """
    found: dict[str, Encoder] = {}
    first: dict[str, Any] = {}
    for run in runs:
        told = _json(resolve(run.scores) / "scores.json")
        shared = {name: told[name] for name in SHARED} | {name: told[name]["pool"] if name in told else 0 for name in SETS}
        first = first or shared
        if shared != first:
            raise InvalidValueError("scored otherwise than the first", where=run.scores, allowed=first, received=shared)
        encoder = found.setdefault(run.encoder, Encoder(run.encoder))
        encoder.runs.append(run)
        encoder.told.append(told)
        encoder.trainings.append(_json(resolve(run.training) / "training.json"))
        encoder.curves.append(_json(resolve(run.training) / "curves.json"))
    return list(found.values())


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def pools(encoders: Sequence[Encoder]) -> list[str]:
    """Return the pools that were scored."""
    return [name for name in SETS if name in encoders[0].told[0]]


def by_validation(encoders: Sequence[Encoder]) -> list[Encoder]:
    """Return the encoders, the one that validates best first."""
    return sorted(encoders, key=lambda one: -one.val_mrr)


def headline(encoders: Sequence[Encoder]) -> str:
    """Return the finding: how well the encoder that validates best finds the sounds of presets, beside the others and chance."""
    ranked = by_validation(encoders)
    best, others = ranked[0], ranked[1:]
    size, validation = best.told[0]["sampled"]["subset"], best.told[0]["validation"]
    text = (
        f"{best.name}, chosen by its validation rankings (MRR {best.val_mrr:.3f} at {validation['candidates']} candidates): MRR "
        f"{best.mean('sampled', 'mrr'):.3f} on drawn presets, one against {size} (chance {best.chance('sampled')['mrr']:.3f})."
    )
    if others:
        text += " Beside it: " + ", ".join(f"{one.name} {one.mean('sampled', 'mrr'):.3f}" for one in others) + "."
    if "hand_crafted" in pools(encoders):
        part = best.told[0]["hand_crafted"]
        text += (
            f" On presets made by hand, one against {part['subset']}: {best.mean('hand_crafted', 'mrr'):.3f} "
            f"(chance {best.chance('hand_crafted')['mrr']:.3f})."
        )
    return text


def tables_of(encoders: Sequence[Encoder]) -> list[Table]:
    """Return all score tables."""
    return [main_table(encoders), recall_table(encoders), validation_table(encoders), space_table(encoders)]


def main_table(encoders: Sequence[Encoder]) -> Table:
    """Return MRR and L1 by encoder and pool, and the differences."""
    there = pools(encoders)
    titles = {"encoder": "encoder", "weights": "weights"}
    for pool in there:
        titles |= {f"mrr_{pool}": f"MRR, {SETS[pool]}", f"sd_{pool}": "± over draws", f"over_{pool}": "95 %"}
    both = len(there) == len(SETS)
    titles |= {"mrr_difference": "Diff %"} if both else {}
    titles |= {f"l1_{pool}": f"L1, {SETS[pool]}" for pool in there}
    titles |= {"l1_difference": "Diff %"} if both else {}
    rows = []
    for one in encoders:
        row = {"encoder": one.name, "weights": f"{one.weights:,}"}
        for pool in there:
            deviation = one.deviation(pool)
            row |= {f"mrr_{pool}": f"{one.mean(pool, 'mrr'):.3f}", f"sd_{pool}": f"{deviation:.3f}" if deviation else "–"}
            row |= {f"over_{pool}": _interval(one.interval(pool)), f"l1_{pool}": f"{one.mean(pool, 'l1'):.4g}"}
        row |= {f"{score}_difference": f"{one.difference(score):+.1f}" for score in ("mrr", "l1")} if both else {}
        rows.append(row)
    chance = {f"mrr_{pool}": f"{encoders[0].chance(pool)['mrr']:.3f}" for pool in there}
    return "One against all", titles, [*rows, dict.fromkeys(titles, "–") | {"encoder": "chance"} | chance]


def _interval(found: tuple[float, float] | None) -> str:
    return f"{found[0]:.3f} … {found[1]:.3f}" if found else "–"


def recall_table(encoders: Sequence[Encoder]) -> Table:
    """Return what is found among the first few, in both directions."""
    names = _counted(encoders[0].told[0]["sampled"]["chance"], "recall@")
    places = _counted(encoders[0].told[0]["sampled"]["chance"], "mrr@")
    titles = {"encoder": "encoder", "set": "presets", "direction": "query", "mrr": "MRR"}
    titles |= {name: f"MRR@{name.split('@')[1]}" for name in places} | {name: f"R@{name.split('@')[1]}, %" for name in names}
    titles["median_normalised_rank"] = "median rank, %"
    rows = []
    for pool in pools(encoders):
        for one in encoders:
            for direction, words in DIRECTIONS.items():
                scores = {name: one.mean(pool, name, direction) for name in ("mrr", *places, *names, "median_normalised_rank")}
                rows.append({"encoder": one.name, "set": SETS[pool], "direction": words, **_cells(scores)})
        rows.append({"encoder": "chance", "set": SETS[pool], "direction": "either", **_cells(encoders[0].chance(pool), list(titles)[3:])})
    return "What comes first", titles, rows


def _counted(scores: Mapping[str, float], prefix: str) -> list[str]:
    """Return the names of scores at some rank, by the rank."""
    return sorted((name for name in scores if name.startswith(prefix)), key=lambda name: int(name.split("@")[1]))


def _cells(scores: Mapping[str, float], names: Sequence[str] = ()) -> dict[str, str]:
    chosen = names or list(scores)
    return {name: f"{scores[name]:.3f}" if name.startswith("mrr") else f"{100 * scores[name]:.1f}" for name in chosen}


def validation_table(encoders: Sequence[Encoder]) -> Table:
    """Return the validation rankings, which the weights were selected by."""
    told = encoders[0].told[0]["validation"]
    titles = {"encoder": "encoder", "mrr": f"MRR, {told['rankings']} × {told['candidates']}", "over": "95 % over trainings", "l1": "L1",
              "step": "best step", "steps": "steps"}  # fmt: skip
    rows = []
    for one in encoders:
        values = np.array([part["validation"]["mrr"] for part in one.told])
        rows.append({
            "encoder": one.name, "mrr": f"{one.val_mrr:.3f}", "over": _interval(statistics.t_interval(values)),
            "l1": f"{np.mean([part['validation']['l1'] for part in one.told]):.4g}",
            "step": ", ".join(str(part["best_step"]) for part in one.trainings), "steps": str(one.trainings[0]["steps"]),
        })  # fmt: skip
    return "Validation", titles, [*rows, dict.fromkeys(titles, "–") | {"encoder": "chance", "mrr": f"{told['chance_mrr']:.3f}"}]


def space_table(encoders: Sequence[Encoder]) -> Table:
    """Return how far the encoder's embeddings stand apart from the sounds', and the MRR when only directions count."""
    titles = {"encoder": "encoder"}
    for pool in pools(encoders):
        titles |= {f"distance_{pool}": f"gap of the centres, {SETS[pool]}", f"telling_{pool}": "told apart, %"}
        titles[f"cosine_{pool}"] = "MRR by cosine"
    rows = []
    for one in encoders:
        row = {"encoder": one.name}
        for pool in pools(encoders):
            parts = [told[pool] for told in one.told]
            gaps = {name: np.mean([part["modality_gap"][name] for part in parts]) for name in ("centroid_distance", "telling_accuracy")}
            cosine = np.mean([part["ranks_cosine"]["preset_query"]["mrr"]["mean"] for part in parts])
            row |= {f"distance_{pool}": f"{gaps['centroid_distance']:.3f}", f"telling_{pool}": f"{100 * gaps['telling_accuracy']:.1f}"}
            row[f"cosine_{pool}"] = f"{cosine:.3f}"
        rows.append(row)
    return "Modality gap", titles, rows


def pool_sizes(encoders: Sequence[Encoder]) -> dict[str, list[tuple[float, float]]]:
    """Return the MRR by the number of candidates, of drawn presets; with chance. None where no sizes were asked for."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for one in encoders:
        sizes = one.told[0]["sampled"].get("pool_sizes") or {}
        if len(sizes) < 2:
            return {}
        means = {size: np.mean([told["sampled"]["pool_sizes"][size]["preset_query"]["mrr"]["mean"] for told in one.told]) for size in sizes}
        lines[one.name] = sorted((float(size), float(value)) for size, value in means.items())
    known = encoders[0].told[0]["sampled"]["pool_sizes"]
    return {**lines, "chance": sorted((float(size), float(told["chance_mrr"])) for size, told in known.items())}
