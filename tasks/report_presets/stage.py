"""Writes ``index.html`` with its assets, and ``scores`` as CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from core import atomic, tables
from core.context import Context
from core.gallery.page import render
from tasks.report_presets import drawings, facts, listen
from tasks.report_presets.scores import SETS, Encoder, Table, by_validation, collect, headline, main_table, pools, tables_of
from tasks.report_presets.spec import Request, Result


def run(request: Request, context: Context) -> Result:
    """Collect the scores, draw, render."""
    encoders, sets = collect(request.runs, context.resolve), facts.opened(request.sets, context)
    parts, extra = tables_of(encoders), []
    if request.ranking:
        extra.append(facts.ranking(context.resolve(request.ranking)))
    if request.matches:
        extra.append(facts.matching(request.matches, context))
    finding = headline(encoders)
    page = render(
        "presets.html", title=request.title, headlines=[finding], command=request.command, config=request.config, parts=parts,
        extra=extra, bars=drawings.bars(encoders), charts=drawings.curves(encoders), projections=drawings.projections(encoders, context),
        about=about(encoders), sets=facts.sets_table(sets), rejected=facts.rejected(sets, request.settings.max_rejected),
        synth=facts.synthesiser(sets, context.resolve(request.probe) if request.probe else None), trainings=trainings(encoders, context),
        lookups=listen.lookups(context.resolve(request.played), context) if request.played else [],
        matches=listen.matches(request.matches, request.settings.max_matches, context),
    )  # fmt: skip
    atomic.write_text(context.output / "index.html", page)
    write([*parts, *extra], finding, context)
    context.sample(context.output / "index.html", request.title)
    shown = [main_table(encoders), *extra]
    text = "\n\n".join([finding, *(f"{name}\n{tables.as_text(titles, rows)}" for name, titles, rows in shown)])
    scores = {f"{one.name}, {SETS[pool]}": round(one.mean(pool, "mrr"), 6) for one in encoders for pool in pools(encoders)}
    return Result(scores=scores, best=by_validation(encoders)[0].name, headline=finding, table=text)


def about(encoders: Sequence[Encoder]) -> dict[str, Any]:
    """Return what must be known to read the tables."""
    told = encoders[0].told[0]
    return {
        "distance": {"l1": "L1", "l2": "L2"}.get(told["distance"], told["distance"]), "audio_model": told["audio_model"],
        "validation": told["validation"], "trainings": len(encoders[0].told),
        "pools": [(SETS[name], told[name]["pool"], told[name]["subset"], told[name]["runs"]) for name in pools(encoders)],
    }  # fmt: skip


def trainings(encoders: Sequence[Encoder], context: Context) -> list[dict[str, Any]]:
    """Return what was trained how, and what a search tried before."""
    found = []
    for one in encoders:
        told, run = one.trainings[0], one.runs[0]
        searched = None
        if run.search:
            folder = context.resolve(run.search)
            trials = json.loads((folder / "trials.json").read_text(encoding="utf-8"))
            best = json.loads((folder / "best.json").read_text(encoding="utf-8"))
            finished = [trial for trial in trials if trial["val_mrr"] is not None]
            searched = {"trials": len(trials), "finished": len(finished), "best": max(trial["val_mrr"] for trial in finished),
                        "settings": {name: value for name, value in best.items() if name not in ("model", "preset")}}  # fmt: skip
        found.append({"name": one.name, "told": told, "plan": told["plan"], "weights": one.weights, "searched": searched})
    return found


def write(parts: Sequence[Table], finding: str, context: Context) -> None:
    """Write the tables: one list of rows with a column for each title, and each table for itself in Markdown and LaTeX."""
    rows = [{"table": name, **row} for name, _, table_rows in parts for row in table_rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    tables.write_rows(context.output / "scores", rows, columns)
    blocks = [f"**{name}**\n\n{tables.markdown(titles, table_rows)}" for name, titles, table_rows in parts]
    atomic.write_text(context.output / "scores.md", "\n".join([finding, "", *blocks]))
    atomic.write_text(context.output / "scores.tex", "\n".join(tables.tabular(titles, found, name) for name, titles, found in parts))
