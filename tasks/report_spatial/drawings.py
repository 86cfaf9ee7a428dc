"""Drawings of a study's page: retrieval over chance, curves, told directions against true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from core.gallery import pictures
from core.gallery.page import trusted
from core.gallery.pictures import ACCENT, INK, TEXT
from tasks.report_spatial.scores import SIDES, TASKS, Model

Chart = tuple[Any, str]
"""A drawing and what it shows."""
CURVES = {
    "loss": "training loss", "space": "contrast of spaces", "source": "contrast of sources", "physical": "physical losses",
    "val_source_top1": "validation: right source nearest, share", "val_spatial_top1": "validation: right space nearest, share",
    "val_direction_deg": "validation: median angle of directions, °",
}  # fmt: skip
MOST_DOTS = 2000


def over_chance(models: Sequence[Model]) -> list[Chart]:
    """Return R@1 over chance of each task and direction, every seed a dot; the dashed line is chance."""
    made = []
    for side, words in SIDES.items():
        rows: list[tuple[str, Sequence[float], tuple[float, float] | None]] = [("chance", [1.0], None)]
        for task in TASKS:
            for model in models:
                if task != "Both" and (lifts := model.values("retrieval", task, side, "lift@1")):
                    name = task if len(models) == 1 else f"{task}, {model.name}"
                    rows.append((name, lifts, model.interval("retrieval", task, side, "lift@1")))
        if len(rows) > 1:
            caption = f"R@1 over chance, {words}: every seed (dots), mean (diamond), 95 % over seeds (bar); the dashed line is chance"
            made.append((trusted(pictures.intervals(rows, "R@1 / chance")), caption))
    return made


def curves(models: Sequence[Model]) -> list[Chart]:
    """Return a chart for each curve, a colour for each model and a line for each seed."""
    made = []
    for name, title in CURVES.items():
        lines = {
            f"{model.name}#{number}" if number else model.name: [(float(step), float(value)) for step, value in one[name]]
            for model in models for number, one in enumerate(model.curves) if len(one.get(name, ())) > 1
        }  # fmt: skip
        if lines:
            made.append((trusted(pictures.curves(lines, "step", title)), f"{title}; a line for each seed"))
    return made


def directions(true: npt.NDArray[np.float64], told: npt.NDArray[np.float64]) -> str:
    """Return an SVG of told azimuths against true ones [scenes], in degrees, left at the top; what is behind lies in two corners."""
    figure = Figure(figsize=(4.6, 4.2))
    axes = figure.add_subplot()
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.tick_params(colors=INK, labelsize=8)
    step = max(1, -(-len(true) // MOST_DOTS))
    axes.plot([-180, 180], [-180, 180], color=TEXT, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(true[::step], told[::step], ".", color=ACCENT, markersize=3, alpha=0.5, markeredgewidth=0)
    for axis, name in ((axes.xaxis, "true azimuth, ° (positive: left)"), (axes.yaxis, "told azimuth, °")):
        axis.set_ticks(range(-180, 181, 90))
        axis.set_label_text(name)
        axis.label.set_color(TEXT)
    axes.set_xlim(-180, 180)
    axes.set_ylim(-180, 180)
    axes.grid(color=INK, alpha=0.2)
    figure.tight_layout()
    return pictures.standalone(figure)
