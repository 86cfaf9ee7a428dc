"""Writes ``index.html`` with ``clips.js`` and its assets, and ``scores`` as CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np

from core import atomic, statistics
from core.context import Context
from core.gallery import pictures
from core.gallery.page import render, trusted
from tasks.report import clips, scores, synthetic, tables
from tasks.report.searches import searches
from tasks.report.spec import Request, Result

MOST_CURVES = 12
"""Runs of a size up to which every run has a line of its own; of more only each arm's mean is drawn."""
OPEN_CONFUSIONS = 2
"""Confusion matrices that are shown at once, the first arm's and the best one's; the others are folded away."""


def run(request: Request, context: Context) -> Result:
    """Collect scores and clips, draw, render."""
    parts = [
        (section, scores.rows(section, request.settings)) for section in scores.sections(scores.collect(request.arms, context.resolve))
    ]
    headlines = [scores.headline(section, request.settings) for section, _ in parts]
    listed, hidden = clips.write(request, context)
    page = render(
        "study.html", title=request.title, headlines=headlines, funnel=synthetic.funnel(request, context), listed=listed, hidden=hidden,
        searches=searches(request, context),
        sections=[_section(section, table, request, context) for section, table in parts],
        clip_file=clips.FILE, draws=len({run.draw for run in request.gold}), rejected=_rejected(request, context), command=request.command,
        config=request.config,
    )  # fmt: skip
    atomic.write_text(context.output / "index.html", page)
    tables.write(parts, headlines, context.output)
    context.sample(context.output / "index.html", request.title)
    accuracy, delta = {}, {}
    for section, _ in parts:
        for arm in section.arms:
            name = arm.name if len(parts) == 1 else f"{arm.name}, n={arm.num_samples}"
            accuracy[name] = round(arm.mean, 6)
            delta[name] = round(scores.compare(section.arms[0], arm, section.unit, request.settings).delta, 6)
    text = "\n\n".join([*headlines, scores.as_text(parts)])
    return Result(parts[0][0].arms[0].metric, accuracy, delta, " ".join(headlines), text)


def _section(section: scores.Section, table: list[dict[str, str]], request: Request, context: Context) -> dict[str, Any]:
    """Return what the page shows of one size of the gold set."""
    arms, metric = section.arms, section.arms[0].metric
    lines = [(arm.name, list(100 * arm.test), _interval(arm)) for arm in arms]
    shown_first = [arms[0], scores.best(section)] if len(arms) > 1 else arms
    matrices = [
        (arm.name, trusted(pictures.confusion(arm.confusion, arm.classes)), arm in shown_first[:OPEN_CONFUSIONS])
        for arm in sorted(arms, key=lambda arm: arm not in shown_first)
        if arm.confusion is not None
    ]
    found = [arm.per_class for arm in arms]
    labels = list(dict.fromkeys(name for known in found for name in known))
    return {
        "size": section.size, "rows": table, "titles": tables.titles(section), "unit": section.unit, "metric": metric,
        "base": arms[0].name, "runs": trusted(pictures.intervals(lines, f"test {metric}, %")),
        "curves": trusted(pictures.curves(_curves(arms), "step", f"validation {metric}")), "confusions": matrices,
        "averaged": sum(len(arm.runs) for arm in arms) > MOST_CURVES,
        "per_class": (
            {"label": "class", **{str(place): arm.name for place, arm in enumerate(arms)}},
            [{"label": label, **{str(place): _percent(known, label) for place, known in enumerate(found)}} for label in labels],
        ),
        "rounds": synthetic.rounds(request, section.num_samples, context),
        "measures": synthetic.measures(request, section.num_samples, context),
        "pairs": synthetic.pairs(request, section.num_samples, context) if request.measures else [],
    }  # fmt: skip


def _percent(known: dict[str, float], label: str) -> str:
    return scores.percent(known[label]) if label in known else "–"


def _interval(arm: scores.Arm) -> tuple[float, float] | None:
    """Return the interval of an arm's mean over its runs, in percent."""
    found = statistics.t_interval(arm.test)
    return (100 * max(0.0, found[0]), 100 * min(1.0, found[1])) if found else None


def _curves(arms: list[scores.Arm]) -> dict[str, list[tuple[float, float]]]:
    """Return the lines to draw: of every run, or of each arm's mean where there are many runs."""
    if sum(len(arm.runs) for arm in arms) <= MOST_CURVES:
        numbered = [(arm.name, number, run.curve) for arm in arms for number, run in enumerate(arm.runs)]
        return {f"{name}#{number}" if number else name: curve for name, number, curve in numbered if curve}
    found = {}
    for arm in arms:
        values: dict[float, list[float]] = {}
        for run in arm.runs:
            for step, value in run.curve:
                values.setdefault(step, []).append(value)
        if values:
            found[arm.name] = [(step, float(np.mean(values[step]))) for step in sorted(values)]
    return found


def _rejected(request: Request, context: Context) -> list[dict[str, str]]:
    with (context.resolve(request.prepare) / "rejected.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))[:500]
