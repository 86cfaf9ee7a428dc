"""Writes ``index.html`` with its assets, ``scores.csv``, ``scores.json`` and ``scores.md``."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd

from core import atomic, audio, manifest
from core.context import Context
from core.gallery import pictures
from core.gallery.page import render, trusted
from tasks.report import scores
from tasks.report.spec import Request, Result


def run(request: Request, context: Context) -> Result:
    """Collect scores and clips, draw, render."""
    arms = scores.collect(request.arms, context.resolve)
    table = scores.rows(arms, request.settings)
    headline = scores.headline(arms, request.settings)
    text = scores.as_text(table)
    clips, hidden = _clips(request, context)
    curves = {f"{arm.name}#{number}" if number else arm.name: curve for arm in arms for number, curve in enumerate(arm.curves) if curve}
    page = render(
        "study.html", title=request.title, headline=headline, rows=table, funnel=_funnel(request, context), clips=clips, hidden=hidden,
        curves=trusted(pictures.curves(curves, "step", "validation accuracy")), labels=sorted({clip["label"] for clip in clips}),
        confusions=[(arm.name, trusted(pictures.confusion(arm.confusion, arm.classes))) for arm in arms if arm.confusion is not None],
        per_class=[(label, [scores.percent(arm.recall[i]) for arm in arms]) for i, label in enumerate(arms[0].classes)],
        rejected=_rejected(request, context), command=request.command, config=request.config,
    )  # fmt: skip
    atomic.write_text(context.output / "index.html", page)
    _write_tables(table, headline, context.output)
    context.sample(context.output / "index.html", request.title)
    accuracy = {arm.name: round(arm.mean, 6) for arm in arms}
    return Result(accuracy, {name: round(value - arms[0].mean, 6) for name, value in accuracy.items()}, headline, f"{headline}\n\n{text}")


def _write_tables(table: list[dict[str, str]], headline: str, folder: Path) -> None:
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    atomic.write_json(folder / "scores.json", table)
    names = list(table[0])
    cells = ["| " + " | ".join(row[name].replace("|", "\\|") for name in names) + " |" for row in table]
    head = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    atomic.write_text(folder / "scores.md", "\n".join([headline, "", *head, *cells]) + "\n")


def _funnel(request: Request, context: Context) -> list[tuple[str, int]]:
    """Return how many clips each stage let through."""
    prepared, gold = manifest.read(context.resolve(request.prepare)), manifest.read(context.resolve(request.gold))
    usable = manifest.accepted(prepared)
    counts = [
        ("rows in the table", len(prepared)), ("rejected on arrival", len(prepared) - len(usable)),
        ("validation clips", int((usable["split"] == "val").sum())),
        ("test clips", int((usable["split"] == "test").sum())), ("gold clips drawn", len(gold)),
    ]  # fmt: skip
    for name, before, after in zip(request.sources, request.generated, request.filtered, strict=True):
        made, kept = manifest.read(context.resolve(before)), manifest.accepted(manifest.read(context.resolve(after)))
        counts += [(f"generated {name.replace('_', ' ')}", len(made)), ("of them kept by the filter", len(kept))]
    return counts


def _rejected(request: Request, context: Context) -> list[dict[str, str]]:
    with (context.resolve(request.prepare) / "rejected.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))[:500]


def _clips(request: Request, context: Context) -> tuple[list[dict[str, str]], int]:
    """Return the clips to show, copied and drawn, every class and kind in turn, and how many are not shown."""
    tables = [manifest.read(context.resolve(request.gold)).assign(kind="gold", source="")]
    for name, folder in zip(request.sources, request.filtered, strict=True):
        table = manifest.read(context.resolve(folder))
        tables.append(table.assign(kind=table["status"], source=name.replace("_", " ")))
    everything = pd.concat(tables, ignore_index=True)
    everything = everything[~everything["path"].str.startswith("rejected/")]
    turn = everything.groupby(["label", "kind", "source"]).cumcount()
    shown = everything.assign(turn=turn).sort_values(["turn", "label", "kind", "source"]).head(request.settings.max_clips)
    rank = {"gold": 0, "accepted": 1, "rejected": 2}
    shown = shown.assign(rank=shown["kind"].map(rank)).sort_values(["label", "rank", "source", "turn"])
    (context.output / "assets").mkdir(exist_ok=True)
    made = []
    for number, row in enumerate(shown.to_dict("records"), start=1):
        made.append(_clip(row, context))
        context.progress(number, len(shown))
    return made, len(everything) - len(shown)


def _clip(row: dict[str, Any], context: Context) -> dict[str, str]:
    source = context.resolve(row["path"])
    # WAV, since libsndfile writes FLAC without a seek table and chromium's player is dead after a jump near the end of such a file.
    target = context.output / "assets" / f"{row['clip_id']}.wav"
    if not target.exists():
        audio.write(target, *audio.read(source), "PCM_16")
    picture = target.with_suffix(".png")
    pictures.write_spectrogram(picture, source)
    parameters, found = json.loads(row["parameters"]), json.loads(row["scores"])
    parts = [f"{name.removeprefix('clap_')} {value:g}" for name, value in found.items()]
    parts += [f"seed {parameters['seed']}"] if "seed" in parameters else []
    parts += [row["reason"]] if row["reason"] else []
    return {
        "label": row["label"], "kind": row["kind"], "source": row["source"], "caption": row["caption"], "detail": " · ".join(parts),
        "audio": f"assets/{target.name}", "picture": f"assets/{picture.name}",
    }  # fmt: skip
