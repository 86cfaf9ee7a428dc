"""The score tables: as rows of numbers in CSV and JSON, and as text for people in Markdown, LaTeX, the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core import atomic, tables
from tasks.report_disentanglement import scores
from tasks.report_disentanglement.scores import BASELINES, CONVENTIONS, Method, number, plus_minus
from tasks.report_disentanglement.spec import METRICS

FIELDS = (
    "convention", "metric", "method", "rank", "mean", "low", "high", "sd_seeds", "seeds", "sd_evaluation", "evaluation_repeats",
)  # fmt: skip
"""Columns of ``scores.csv``: the interval is Student's 95 % over training seeds, ``sd_evaluation`` is within one training."""
Table = tuple[dict[str, str], list[dict[str, str]]]
"""Titles by column name, and rows of text."""


def numbers(methods: Sequence[Method]) -> list[dict[str, Any]]:
    """Return a row for each convention, metric and method that has a score, and for the baselines; unrounded."""
    rows: list[dict[str, Any]] = []
    for convention, metrics in CONVENTIONS.items():
        for metric in metrics:
            for rank, method in enumerate(scores.ranking(methods, convention, metric), start=1):
                score = method.score(convention, metric)
                assert score is not None
                low, high = score.interval or (None, None)
                values = (convention, metric, method.name, rank, score.mean, low, high, score.sd, len(score.values), score.evaluation_sd)
                rows.append(dict(zip(FIELDS, (*values, score.repeats), strict=True)))
        for name, spoken in BASELINES.items():
            known = [(metric, scores.baseline(methods, convention, name, metric)) for metric in metrics]
            empty = {**dict.fromkeys(FIELDS), "convention": convention, "method": spoken}
            rows += [{**empty, "metric": metric, "mean": mean} for metric, mean in known if mean is not None]
    return rows


def by_metric(methods: Sequence[Method], convention: str) -> Table:
    """Return a convention's scores, a row for each metric: every method's mean ± half of its interval, who is first, the baselines."""
    titles = {"metric": "metric", **{method.name: method.spoken for method in methods}, "first": "first", **BASELINES}
    rows = []
    for metric in CONVENTIONS[convention]:
        order = scores.ranking(methods, convention, metric)
        if not order:
            continue
        row = {"metric": METRICS[metric], **{method.name: plus_minus(method.score(convention, metric)) for method in methods}}
        row |= {"first": _first(methods, convention, metric)}
        rows.append(row | {name: number(scores.baseline(methods, convention, name, metric)) for name in BASELINES})
    return titles, rows


def _first(methods: Sequence[Method], convention: str, metric: str) -> str:
    """Return who is first and whether the others' intervals stay clear of it."""
    order, close = scores.ranking(methods, convention, metric), scores.overlapping(methods, convention, metric)
    if len(order) < 2 or close is None:
        return order[0].spoken
    if not close:
        return f"{order[0].spoken}, clear"
    others = "all others" if 1 < len(close) == len(order) - 1 else scores.spoken_list([method.spoken for method in close])
    return f"{order[0].spoken}, overlaps {others}"


def ranking(methods: Sequence[Method], metric: str) -> Table:
    """Return the methods by the corrected metric with their place by the published convention, and the baselines below."""
    titles = {
        "rank": "rank", "method": "method", "score": f"{METRICS[metric]}, corrected", "interval": "95 % over training seeds",
        "sd": "sd over seeds", "evaluation": "sd of the evaluation", "seeds": "seeds", "legacy_rank": "legacy rank",
        "legacy": f"{METRICS[metric]}, legacy", "legacy_interval": "95 % over training seeds, legacy",
    }  # fmt: skip
    places = {method.name: place for place, method in enumerate(scores.ranking(methods, "legacy", metric), start=1)}
    rows = []
    for rank, method in enumerate(scores.ranking(methods, "corrected", metric), start=1):
        score, legacy = method.score("corrected", metric), method.score("legacy", metric)
        assert score is not None
        rows.append({
            "rank": str(rank), "method": method.spoken, "score": number(score.mean), "interval": scores.spoken_interval(score.interval),
            "sd": number(score.sd), "evaluation": number(score.evaluation_sd), "seeds": str(len(score.values)),
            "legacy_rank": str(places.get(method.name, "–")), "legacy": number(legacy.mean if legacy else None),
            "legacy_interval": scores.spoken_interval(legacy.interval if legacy else None),
        })  # fmt: skip
    for name, spoken in BASELINES.items():
        found = [scores.baseline(methods, convention, name, metric) for convention in CONVENTIONS]
        if any(value is not None for value in found):
            own = {"method": spoken, "score": number(found[0]), "legacy": number(found[1])}
            rows.append({**dict.fromkeys(titles, "–"), **own})
    return titles, rows


def trainings(methods: Sequence[Method]) -> Table:
    """Return what became of each training."""
    titles = {
        "method": "method", "seed": "seed", "active": "active units", "beta": "effective β", "kl": "KL, nats", "error": "val. error",
        "parameters": "weights", "state": "state",
    }  # fmt: skip
    rows = []
    for method in methods:
        for run in method.runs:
            found = run.training
            by_code = found.get("kl_per_dimension") or []
            active = f"{found['active_units']} of {len(by_code)}" if by_code else str(found.get("active_units", "–"))
            faults = f", legacy: {len(found['faults'])} published faults" if found.get("faults") else ""
            rows.append({
                "method": method.spoken, "seed": str(run.run.seed), "active": active, "beta": _short(run.effective_beta),
                "kl": _short(sum(by_code) if by_code else None), "error": _short(found.get("val_reconstruction")),
                "parameters": f"{found['parameters']:,}" if "parameters" in found else "–",
                "state": ("collapsed" if found.get("collapsed") else "alive") + faults,
            })  # fmt: skip
    return titles, rows


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def write(methods: Sequence[Method], metric: str, headlines: Sequence[str], folder: Path) -> None:
    """Write ``scores.csv``, ``scores.json``, ``scores.md`` and ``scores.tex`` into a folder."""
    tables.write_rows(folder / "scores", numbers(methods), FIELDS)
    named = (
        (f"Ranking by {METRICS[metric]}", ranking(methods, metric)),
        ("Corrected scores, mean ± half of Student's 95 % interval over training seeds", by_metric(methods, "corrected")),
        ("Legacy scores: arguments swapped as published, for comparison only", by_metric(methods, "legacy")),
        ("Trainings", trainings(methods)),
    )
    parts = [f"## {title}\n\n{tables.markdown(*table)}" for title, table in named if table[1]]
    atomic.write_text(folder / "scores.md", "\n".join(["\n".join(headlines), "", *parts]))
    atomic.write_text(folder / "scores.tex", "\n".join(tables.tabular(*table, title) for title, table in named if table[1]))


def as_text(methods: Sequence[Method], metric: str) -> str:
    """Return the ranking for a terminal."""
    return tables.as_text(*ranking(methods, metric))
