"""Writes ``index.html`` with its assets, and ``scores`` as CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from core import atomic
from core.context import Context
from core.gallery import pictures
from core.gallery.page import render, trusted
from tasks.report_disentanglement import classifier, listen, scores, tables
from tasks.report_disentanglement.scores import Method
from tasks.report_disentanglement.spec import METRICS, Request, Result

CURVES = {
    "reconstruction": "reconstruction error", "kl": "KL to the prior, nats", "total_correlation": "total correlation, nats",
    "active_units": "active units", "effective_beta": "effective β", "val_loss": "validation loss of the own objective",
    "loss": "training loss of the own objective",
}  # fmt: skip
"""Curves that are drawn, and what they are called."""
OPEN_CURVES = 4
"""Charts that are shown at once; the others are folded away."""


def run(request: Request, context: Context) -> Result:
    """Collect scores and pictures, draw, render."""
    settings, metric = request.settings, request.settings.ranked_by
    methods = scores.collect(request.runs, context.resolve)
    headlines = scores.headline(methods, metric)
    trainings = listen.shown(methods, settings, context)
    described = json.loads((context.resolve(request.features) / "features.json").read_text(encoding="utf-8"))
    page = render(
        "disentanglement.html", title=request.title, headlines=headlines, command=request.command, config=request.config,
        metric=METRICS[metric], ranking=tables.ranking(methods, metric), corrected=tables.by_metric(methods, "corrected"),
        legacy=tables.by_metric(methods, "legacy"), trainings=tables.trainings(methods), intervals=_intervals(methods, metric),
        curves=_curves(methods), open_curves=OPEN_CURVES, matrices=_matrices(methods), shown=trainings,
        clips=listen.side_by_side(trainings), features=_features(described), protocol=_protocol(methods),
        flagged=[str(text) for text in [*described["flagged"], *described.get("grid_warnings", [])]],
        classifier=classifier.read(context.resolve(request.classifier)) if request.classifier else None,
    )  # fmt: skip
    atomic.write_text(context.output / "index.html", page)
    tables.write(methods, metric, headlines, context.output)
    context.sample(context.output / "index.html", request.title)
    orders = [tuple(method.name for method in scores.ranking(methods, name, metric)) for name in scores.CONVENTIONS]
    found = {method.name: score.mean for method in methods if (score := method.score("corrected", metric))}
    dead = tuple(f"{method.name} {one.run.seed}" for method in methods for one in method.runs if one.training.get("collapsed"))
    text = f"{' '.join(headlines)}\n\n{tables.as_text(methods, metric)}"
    return Result(orders[0], orders[1], {name: round(value, 6) for name, value in found.items()}, dead, " ".join(headlines), text)


def _intervals(methods: Sequence[Method], metric: str) -> list[tuple[str, Any]]:
    """Return, for both conventions, the picture of all trainings' scores with the intervals of the means."""
    made = []
    for convention in scores.CONVENTIONS:
        found = [(method, method.score(convention, metric)) for method in scores.ranking(methods, convention, metric)]
        rows = [(method.spoken, score.values, score.interval) for method, score in found if score]
        if rows:
            made.append((convention, trusted(pictures.intervals(rows, f"{METRICS[metric]}, {convention}"))))
    return made


def _curves(methods: Sequence[Method]) -> list[tuple[str, Any]]:
    """Return a chart for each curve, a colour for each method and a line for each training."""
    made = []
    for name, title in CURVES.items():
        lines = {
            f"{method.spoken}#{number}" if number else method.spoken: one.curves[name]
            for method in methods
            for number, one in enumerate(method.runs)
            if len(one.curves.get(name, ())) > 1
        }
        if lines:
            made.append((title, trusted(pictures.curves(lines, "step", title))))
    return made


def _matrices(methods: Sequence[Method]) -> dict[str, list[tuple[int, Any]]]:
    """Return the heat maps of mutual information by method: (seed, picture)."""
    made: dict[str, list[tuple[int, Any]]] = {}
    for method in methods:
        for one in method.runs:
            if (found := scores.matrix(one)) is not None:
                factors, codes, bits, full = found
                rows = [f"{factor} ({most:.1f})" for factor, most in zip(factors, full, strict=True)]
                drawn = pictures.heat_map(bits, rows, codes, full.tolist(), ("codes", "factors (entropy, bits)"))
                made.setdefault(method.name, []).append((one.run.seed, trusted(drawn)))
    return made


def _features(described: dict[str, Any]) -> str:
    """Return in a line what the models saw."""
    varied = [f"{len(factor['values'])} × {factor['name']}" for factor in described["factors"] if len(factor["values"]) > 1]
    size = f"{described['mels']} mel bands × {described['frames']} frames at {described['sample_rate_hz'] / 1000:g} kHz"
    return f"{', '.join(varied)}; {size}, {described['normalisation']}"


def _protocol(methods: Sequence[Method]) -> str:
    """Return which clips and codes were scored, when all evaluations agree."""
    names = ("rows", "split", "split_reason", "codes")
    told = {tuple(str(one.scores.get(name, "")) for name in names) for method in methods for one in method.runs}
    rows, split, reason, codes = told.pop()
    if told or not split:
        return ""
    return f"Scored on {rows} clips ({split}: {reason}), codes: {codes}."
