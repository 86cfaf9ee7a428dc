"""Writes ``index.html`` with its assets, and ``scores`` as CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from core import atomic, tables
from core.context import Context
from core.gallery import pictures
from core.gallery.page import render, trusted
from tasks.report_probes import sounds, sweeps
from tasks.report_probes.scores import Encoder, collect, compare, headline, of_probe
from tasks.report_probes.spec import Request, Result

FACTORS = "parameters"
"""Probe of a synthesiser's parameters."""
PROXIES = (FACTORS, "waveform", "pitch")
"""Probes on other sounds than the dataset's."""
CURVES = {
    "align": "Alignment of twins: 0 when their embeddings are one, 2 for unrelated sounds",
    "uniform": "Uniformity: 0 when all embeddings are one, about −4 when they are spread evenly", "loss": "Training loss",
}  # fmt: skip


def run(request: Request, context: Context) -> Result:
    """Collect the scores, draw, render."""
    encoders = collect(request.runs, context.resolve)
    probes = list(dict.fromkeys(encoder.probe for encoder in encoders))
    parts = [(probe, *table(of_probe(encoders, probe))) for probe in probes]
    finding = headline(encoders)
    shown = _trainings(of_probe(encoders, probes[0]), request, context)
    measures = sounds.read(context.resolve(request.measures)) if request.measures else None
    page = render(
        "probes.html", title=request.title, headlines=[finding], command=request.command, config=request.config, parts=parts,
        intervals=[(probe, _intervals(of_probe(encoders, probe))) for probe in probes], classes=_classes(of_probe(encoders, probes[0])),
        probe=probes[0], trainings=shown,
        sweeps=sweeps.charts(encoders, _on_dataset(encoders, probes), {one["name"]: one["about"] for one in shown}),
        measured=None if measures is None else (sounds.distances(measures), sounds.spectra(measures), sounds.over_delta(measures)),
        factors=sounds.parameters(of_probe(encoders, FACTORS), context.resolve(request.factors)) if request.factors else None,
        heard=max(encoder.heard for encoder in encoders),
    )  # fmt: skip
    atomic.write_text(context.output / "index.html", page)
    _write(parts, finding, context)
    context.sample(context.output / "index.html", request.title)
    text = "\n\n".join([finding, *(f"{probe}\n{tables.as_text(titles, rows)}" for probe, titles, rows in parts)])
    scores = {f"{encoder.name}, {encoder.probe}": round(encoder.mean, 6) for encoder in encoders}
    return Result(encoders[0].metric, scores, finding, text)


def _on_dataset(encoders: Sequence[Encoder], probes: Sequence[str]) -> list[str]:
    """Return the probes that are scored as the first one is: on the dataset."""
    metrics = {probe: of_probe(encoders, probe)[0].metric for probe in probes}
    folds = {probe: len(of_probe(encoders, probe)[0].by_fold) for probe in probes}
    return [probe for probe in probes if (metrics[probe], folds[probe]) == (metrics[probes[0]], folds[probes[0]]) and probe not in PROXIES]


def table(encoders: Sequence[Encoder]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return titles and rows of one probe: every encoder with its spread over folds, and against every baseline."""
    baselines = [encoder for encoder in encoders if not encoder.training]
    titles = {"encoder": "encoder", "score": f"{encoders[0].metric}, %", "interval": "95 % over folds", "val": "validation"}
    for number, baseline in enumerate(baselines):
        titles |= {f"delta{number}": f"against {baseline.name}", f"sure{number}": "95 %, paired by fold", f"p{number}": "p"}
    rows = []
    for encoder in encoders:
        row = {
            "encoder": encoder.name, "score": f"{100 * encoder.mean:.1f}", "interval": _interval(encoder),
            "val": f"{100 * float(np.mean(encoder.val)):.1f}",
        }  # fmt: skip
        for number, baseline in enumerate(baselines):
            found = compare(baseline, encoder)
            own = encoder is baseline
            row[f"delta{number}"] = "–" if own else f"{100 * found.delta:+.1f}"
            row[f"sure{number}"] = "–" if own or not found.interval else f"{100 * found.interval[0]:+.1f} … {100 * found.interval[1]:+.1f}"
            row[f"p{number}"] = "–" if own or found.p is None else f"{found.p:.3f}"
        rows.append(row)
    chance = dict.fromkeys(titles, "–") | {"encoder": "chance", "score": f"{100 * encoders[0].chance:.1f}"}
    return titles, [*rows, chance]


def _interval(encoder: Encoder) -> str:
    found = encoder.interval
    return f"{100 * found[0]:.1f} … {100 * found[1]:.1f}" if found else "–"


def _intervals(encoders: Sequence[Encoder]) -> Any:
    rows = []
    for encoder in encoders:
        found = encoder.interval
        rows.append((encoder.name, list(100 * encoder.by_fold), (100 * found[0], 100 * found[1]) if found else None))
    return trusted(pictures.intervals(rows, f"{encoders[0].metric}, %"))


def _classes(encoders: Sequence[Encoder]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return every class's score by encoder, seeds averaged."""
    names = sorted({name for encoder in encoders for scores in encoder.per_class for name in scores})
    titles = {"class": "class", **{str(number): encoder.name for number, encoder in enumerate(encoders)}}
    rows = []
    for name in names:
        row = {"class": name}
        for number, encoder in enumerate(encoders):
            found = [scores[name] for scores in encoder.per_class if name in scores]
            row[str(number)] = f"{100 * float(np.mean(found)):.1f}" if found else "–"
        rows.append(row)
    return titles, rows


def _trainings(encoders: Sequence[Encoder], request: Request, context: Context) -> list[dict[str, Any]]:
    """Return what is shown of each trained encoder: its first seed's facts and pairs, all seeds' curves."""
    shown = []
    for place, encoder in enumerate(item for item in encoders if item.training):
        folders = [context.resolve(folder) for folder in encoder.training]
        about = json.loads((folders[0] / "training.json").read_text(encoding="utf-8"))
        curves = [json.loads((folder / "curves.json").read_text(encoding="utf-8")) for folder in folders]
        charts = []
        for name, title in CURVES.items():
            lines = {f"seed {number}": curve[name] for number, curve in enumerate(curves, 1) if curve.get(name)}
            if lines:
                points = {seed: [(step, value) for step, value in line] for seed, line in lines.items()}
                charts.append((trusted(pictures.curves(points, "step", name)), title))
        pairs, written = [], folders[0] / "pairs"
        told = [pair["told"] for pair in json.loads((written / "pairs.json").read_text(encoding="utf-8"))] if written.is_dir() else []
        for what, first in list(zip(told, sorted(written.glob("*-first.flac")), strict=True))[: request.settings.max_pairs]:
            names = []
            for view in ("first", "second"):
                name = f"pairs/{place:02d}-{first.name.replace('first', view)}"
                (context.output / "pairs").mkdir(exist_ok=True)
                shutil.copyfile(first.with_name(first.name.replace("first", view)), context.output / name)
                names.append(name)
            pairs.append((what, *names))
        shown.append({"name": encoder.name, "about": about, "charts": charts, "pairs": pairs})
    return shown


def _write(parts: Sequence[tuple[str, dict[str, str], list[dict[str, str]]]], finding: str, context: Context) -> None:
    """Write the tables."""
    rows = [{"probe": probe, **row} for probe, _, table_rows in parts for row in table_rows]
    tables.write_rows(context.output / "scores", rows)
    blocks = [f"**{probe}**\n\n{tables.markdown(titles, table_rows)}" for probe, titles, table_rows in parts]
    atomic.write_text(context.output / "scores.md", "\n".join([finding, "", *blocks]))
    atomic.write_text(context.output / "scores.tex", "\n".join(tables.tabular(titles, found, probe) for probe, titles, found in parts))
