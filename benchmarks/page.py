"""Keeps what benchmarks measured, and writes the one page with every figure, its method and its machine."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import atomic
from core.gallery.page import render

TEMPLATES = Path(__file__).parent / "templates"
FOLDER = "bench"
"""Below the data root: ``index.html``, and a JSON file for each benchmark with its newest figures."""


def keep(root: Path, name: str, figures: Sequence[Mapping[str, Any]], machine: Mapping[str, str], seconds: float) -> Path:
    """Write a benchmark's figures in place of its earlier ones; return the file.

    Args:
        root: the data root.
        name: of the benchmark.
        figures: as dicts of :class:`benchmarks.run.Figure`.
        machine: what it was measured on.
        seconds: how long it took.
    """
    path = root / FOLDER / f"{name}.json"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    finite = [{**one, "figure": one["figure"] if math.isfinite(one["figure"]) else None} for one in figures]
    atomic.write_json(path, {"name": name, "measured": now, "seconds": round(seconds, 1), "machine": dict(machine), "figures": finite})
    return path


def write(root: Path, known: Sequence[str]) -> Path:
    """Write the page of everything measured so far, also in other runs of ``bench``; return it.

    Args:
        root: the data root.
        known: names of all benchmarks there are, in the page's order; those without figures are named as not measured.
    """
    kept = [json.loads(path.read_text()) for path in sorted((root / FOLDER).glob("*.json"))]
    measured = sorted((one for one in kept if one["name"] in known), key=lambda one: known.index(one["name"]))
    figures = [figure for one in measured for figure in one["figures"]]
    held = sum(bool(figure["holds"]) for figure in figures)
    missing = [name for name in known if name not in {one["name"] for one in measured}]
    machines = list({json.dumps({**one["machine"], "load": ""}, sort_keys=True): one["machine"] for one in measured}.values())
    lead = [f"{held} of {len(figures)} figures reach what was promised of them."] if figures else ["Nothing has been measured yet."]
    lead += [f"Not measured here: {', '.join(missing)}."] if missing else []
    lead += ["Measured in several places or versions: figures of different benchmarks may not be compared."] if len(machines) > 1 else []
    text = render(
        "bench.html", (TEMPLATES,), title="synthloom: what was measured", headlines=lead, measured=measured, number=number, minutes=minutes,
        command="./run.sh bench all", config="",
    )  # fmt: skip
    path = root / FOLDER / "index.html"
    atomic.write_text(path, text)
    return path


def number(figure: Mapping[str, Any]) -> str:
    """Return a figure with its unit as a person reads it."""
    value = figure["figure"]
    if value is None:
        return "–"
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{text} {figure['unit']}".strip()


def minutes(seconds: float) -> str:
    """Return a duration in words."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
