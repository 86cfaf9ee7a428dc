"""Writes ``index.html`` with its assets, and ``scores`` as CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from core import atomic
from core import tables as plain
from core.context import Context
from core.gallery.page import render
from tasks.report_spatial import drawings, listen, tables
from tasks.report_spatial.scores import TASKS, Model, best, collect, headline
from tasks.report_spatial.spec import Request, Result
from tasks.spatial.catalogue import SPLITS, Catalogue, open_catalogue

OPEN = 5
"""Tables that are shown at once; the others are folded away."""
IN_TERMINAL = ("Retrieval by clip and RIR", "Physical errors")
OPEN_CURVES = 4
ROOMS = "rooms"
OVERVIEWS = ("directions", "reverberation", "distributions")
"""Kinds of pictures that show a whole catalogue; the others show a response each."""


def run(request: Request, context: Context) -> Result:
    """Collect the scores, draw, decode, render."""
    models, found = collect(request.runs, context.resolve), open_catalogue(context.resolve(request.catalogue))
    finding, parts, first = headline(models), tables.everything(models), best(models)
    told = listen.told_directions(context.resolve(first.runs[0].scores))
    scenes = []
    if request.scenes:
        index = pd.read_parquet(context.resolve(request.scenes) / "index.parquet")
        scenes = listen.shown(index, told, found, request.settings, context)
    overviews, responses = _pictures(request, context)
    page = render(
        "spatial.html", title=request.title, headlines=[finding], command=request.command, config=request.config,
        parts=list(parts.items()), open_parts=OPEN, ceilings=tables.ceilings(models), charts=drawings.over_chance(models),
        curves=drawings.curves(models), open_curves=OPEN_CURVES, trainings=[_training(model) for model in models], rooms=_rooms(found),
        overviews=overviews, responses=responses, scenes=scenes, model=first.name, half_angle=f"{request.settings.half_angle_deg:g}",
        directions=_directions(told, found, context), warnings=_warnings(models, found),
    )  # fmt: skip
    atomic.write_text(context.output / "index.html", page)
    tables.write(parts, models, finding, context.output)
    context.sample(context.output / "index.html", request.title)
    text = [finding, *(f"{title}\n{plain.as_text(*parts[title])}" for title in IN_TERMINAL if title in parts)]
    off = {model.name: model.mean("physical", "direction_deg", "median") for model in models}
    return Result(
        scores=_means(models, "R@1"), over_chance=_means(models, "lift@1"), headline=finding, table="\n\n".join(text),
        direction_deg={name: round(value, 3) for name, value in off.items() if value is not None},
    )  # fmt: skip


def _means(models: Sequence[Model], name: str) -> dict[str, float]:
    """Return a retrieval score by ``model, task``, mean over directions and seeds."""
    found = {f"{model.name}, {task}": model.both_ways(task, name) for model in models for task in TASKS}
    return {key: round(float(np.mean(values)), 6) for key, values in found.items() if values}


def _pictures(request: Request, context: Context) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """Copy the drawings of rooms beside the page; return those of the catalogue, and those of each response under its title."""
    if not request.pictures:
        return [], []
    folder = context.resolve(request.pictures)
    overviews, responses = [], dict[str, dict[str, Any]]()
    for one in json.loads((folder / "pictures.json").read_text(encoding="utf-8"))["pictures"]:
        (context.output / ROOMS).mkdir(exist_ok=True)
        shutil.copyfile(folder / one["svg"], context.output / ROOMS / one["svg"])
        about = {"svg": f"{ROOMS}/{one['svg']}", "title": str(one["title"]), "kind": str(one["kind"])}
        if one["kind"] in OVERVIEWS:
            overviews.append(about)
        else:
            response = responses.setdefault(str(one["spatial_id"]), {"title": about["title"], "split": str(one["split"]), "pictures": []})
            response["pictures"].append(about)
    return overviews, list(responses.values())


def _directions(told: listen.Told, found: Catalogue, context: Context) -> str:
    """Draw told against true azimuths; return the file's name, empty where nothing was told."""
    true, said = listen.azimuths(told, found)
    if not len(true):
        return ""
    atomic.write_text(context.output / "directions.svg", drawings.directions(true, said))
    return "directions.svg"


def _rooms(found: Catalogue) -> list[tuple[str, str]]:
    """Return what there is to know of a catalogue: (value, name)."""
    table, meta = found.table, found.meta
    test = meta.get("self_test") or {}
    facts = [(str(len(table)), "responses")]
    if "room_id" in table:
        facts.append((str(table["room_id"].nunique()), "rooms"))
    facts += [(str(int((table["split"] == split).sum())), split) for split in SPLITS]
    facts.append((f"{found.sample_rate_hz / 1000:g} kHz", "sample rate"))
    facts.append((f"{meta['order']}, {meta['normalisation']}", f"channels; azimuth {str(meta['azimuth_sign']).replace('_', ' ')}"))
    if "gain_error" in test:
        unit = "°" if meta.get("format") == "tetrahedron" else ""
        facts.append((f"{float(test['gain_error']):.1g}{unit}", "largest error of a direct sound's gains"))
    if meta.get("nominal_agreement") is not None:
        facts.append((f"{100 * float(meta['nominal_agreement']):.1f} %", "measured T30 in the same word as the T30 aimed at"))
    if meta.get("unreachable"):
        facts.append((str(len(meta["unreachable"])), "responses that no draw gave"))
    return facts


def _training(model: Model) -> dict[str, Any]:
    """Return what is shown of a model's training, first seed."""
    about = model.trainings[0]
    known = [
        ("weights", "weights"), ("steps", "steps"), ("best_step", "step of the weights that were kept"), ("train_clips", "train clips"),
        ("train_rirs", "train responses"),
    ]  # fmt: skip
    facts = [(str(about[key]), name) for key, name in known if about.get(key) is not None]
    if about.get("val_top1") is not None:
        facts.append((f"{100 * float(about['val_top1']):.1f} %", "validation: right source, and space, nearest"))
    return {"name": model.name, "facts": facts, "faults": [str(text) for text in about.get("faults") or ()]}


def _warnings(models: Sequence[Model], found: Catalogue) -> list[str]:
    """Return what must be known before the figures are believed."""
    said = []
    lost = max(len(one.get("unreadable_clips") or {}) for model in models for one in model.scores)
    if lost:
        said.append(f"{lost} clips of the grid could not be decoded and are left out; scores.json of evaluate_spatial names them.")
    if found.meta.get("caption_t30") == "nominal":
        agreed = 100 * float(found.meta.get("nominal_agreement") or 0.0)
        said.append(f"This catalogue says the T30 aimed at, as published; {agreed:.0f} % of its responses measure in the same word.")
    if found.meta.get("clipped"):
        said.append(f"{found.meta['clipped']} responses were cut off by 16 bit, as published.")
    return said
