"""Figures of rooms with axes and units, in the colours of the page they stand in."""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from core.gallery.pictures import ACCENT, INK, TEXT
from tasks.spatial import acoustics

Array = npt.NDArray[Any]
FLOOR_DB = -70.0
"""Lowest level of a decay drawn."""
COLOURS = {"train": mpl.colormaps["tab10"](0), "val": mpl.colormaps["tab10"](1), "test": mpl.colormaps["tab10"](2)}
QUANTITIES = {
    "area_m2": "floor area (m²)", "source_distance_m": "distance of the source (m)", "fullband_T30_ms": "T30 (ms)", "drr_db": "DRR (dB)",
}  # fmt: skip


def _axes(figure: Figure, *place: int) -> Axes:
    axes = figure.add_subplot(*place)
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.tick_params(colors=INK, labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(TEXT)
        label.set_fontsize(9)
    axes.grid(color=INK, alpha=0.2)
    return axes


def _legend(axes: Axes) -> None:
    axes.legend(fontsize=8, labelcolor=TEXT, framealpha=0.0)


def title(row: pd.Series) -> str:
    """Return what a response is, with units."""
    return (
        f"{row['area_m2']:.0f} m², T30 {row['fullband_T30_ms']:.0f} ms, source {row['source_distance_m']:.2f} m off at "
        f"{row['azimuth_deg']:+.0f}°, {row['elevation_deg']:+.0f}°"
    )


def has_plan(row: pd.Series) -> bool:
    """Whether the catalogue knows the room's size and where source and receiver are; of measured sets it may not."""
    return all(isinstance(row[name], str) for name in ("dims_m", "source_pos_xyz", "receiver_pos_xyz"))


def plan(row: pd.Series) -> Figure:
    """Draw a room from above and from the side, with the source, the receiver and where it looks."""
    dims, source, receiver = (np.array(json.loads(row[name])) for name in ("dims_m", "source_pos_xyz", "receiver_pos_xyz"))
    yaw = np.deg2rad(row["receiver_yaw_deg"])
    figure = Figure(figsize=(6.4, 3.4))
    for place, (down, name) in enumerate(((1, "from above: y (m)"), (2, "from the side: z (m)")), start=1):
        axes = _axes(figure, 1, 2, place)
        axes.add_patch(Rectangle((0, 0), dims[0], dims[down], fill=False, edgecolor=TEXT, linewidth=1.5))
        axes.plot([receiver[0], source[0]], [receiver[down], source[down]], color=INK, linewidth=1, linestyle=(0, (4, 3)))
        ahead = 0.15 * dims[0] * np.array([np.cos(yaw), np.sin(yaw), 0.0])
        axes.annotate(
            "", xy=(receiver[0] + ahead[0], receiver[down] + ahead[down]), xytext=(receiver[0], receiver[down]),
            arrowprops={"arrowstyle": "->", "color": TEXT},
        )  # fmt: skip
        axes.plot(receiver[0], receiver[down], "o", color=TEXT, markersize=6, label="receiver and its front")
        axes.plot(source[0], source[down], "D", color=ACCENT, markersize=6, label="source")
        margin = 0.05 * dims.max()
        axes.set_xlim(-margin, dims[0] + margin)
        axes.set_ylim(-margin, dims[down] + margin)
        axes.set_aspect("equal")
        axes.set_xlabel("x (m)")
        axes.set_ylabel(name)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, labelcolor=TEXT, framealpha=0.0, loc="lower center", ncols=2)
    figure.suptitle(title(row), fontsize=9, color=TEXT)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    return figure


def decay(row: pd.Series, samples: Array, rate_hz: int) -> Figure:
    """Draw the energy decay of W [samples] by Schroeder's integral, and the line its T30 is read off."""
    arrival = int(np.argmax(np.abs(samples)))
    after = arrival + (round(acoustics.DIRECT_HALF_WINDOW_S * rate_hz) if row["direct_excluded"] else 0)
    levels = acoustics.energy_decay_db(samples[after:])
    fit = acoustics.fit_decay(levels, 1 / rate_hz, -5.0, -35.0)
    figure = Figure(figsize=(6.4, 3.2))
    axes = _axes(figure, 1, 1, 1)
    shown = levels > FLOOR_DB
    times = np.arange(len(levels))[shown] / rate_hz
    step = max(1, len(times) // 2000)
    axes.plot(1000 * times[::step], levels[shown][::step], color=TEXT, linewidth=1.4, label="energy that is still to come")
    if np.isfinite(fit.time_s):
        ends = np.array([-5.0, -35.0])
        axes.plot(-1000 * fit.time_s * (ends - fit.intercept_db) / 60, ends, color=ACCENT, linewidth=2.5, alpha=0.8,
                  label=f"T30 = {1000 * fit.time_s:.0f} ms (r = {fit.r:.4f})")  # fmt: skip
    if row["crossover_ms"] == row["crossover_ms"] and row["crossover_ms"] < 1000 * times[-1]:
        axes.axvline(row["crossover_ms"], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="tail takes over")
    axes.set_xlabel("time after the direct sound (ms)")
    axes.set_ylabel("level (dB)")
    axes.set_title(title(row), color=TEXT, fontsize=9)
    _legend(axes)
    figure.tight_layout()
    return figure


def directions(table: pd.DataFrame) -> Figure:
    """Draw where the sources are, seen from the receiver; left is on the left."""
    figure = Figure(figsize=(6.4, 3.4))
    axes = _axes(figure, 1, 1, 1)
    for split, colour in COLOURS.items():
        part = table[table["split"] == split]
        if len(part):
            axes.plot(
                part["azimuth_deg"], part["elevation_deg"], ".", color=colour, markersize=4, alpha=0.7, label=f"{split} ({len(part)})"
            )
    axes.set_xlim(180, -180)  # positive azimuths are on the left
    axes.set_xticks(range(-180, 181, 45))
    axes.set_xlabel("azimuth (°): back, left, front, right, back")
    axes.set_ylabel("elevation (°)")
    _legend(axes)
    figure.tight_layout()
    return figure


def reverberation(table: pd.DataFrame) -> Figure:
    """Draw the measured T30 by the one aimed at, with the thresholds of the words."""
    figure = Figure(figsize=(4.6, 4.2))
    axes = _axes(figure, 1, 1, 1)
    for split, colour in COLOURS.items():
        part = table[table["split"] == split]
        if len(part):
            axes.plot(part["t30_nominal_ms"], part["t30_measured_ms"], ".", color=colour, markersize=4, alpha=0.7, label=split)
    top = float(np.nanmax(table[["t30_nominal_ms", "t30_measured_ms"]].to_numpy())) * 1.05
    axes.plot([0, top], [0, top], color=INK, linewidth=1)
    for threshold in (200.0, 1000.0):
        axes.axhline(threshold, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.axvline(threshold, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xlabel("T30 aimed at (ms)")
    axes.set_ylabel("T30 measured (ms)")
    _legend(axes)
    figure.tight_layout()
    return figure


def distributions(table: pd.DataFrame) -> Figure:
    """Draw how many responses have which area, distance, reverberation time and direct-to-reverberant ratio."""
    figure = Figure(figsize=(6.4, 4.6))
    for place, (name, words) in enumerate(QUANTITIES.items(), start=1):
        axes = _axes(figure, 2, 2, place)
        known = table[np.isfinite(table[name])]
        parts = {split: known[known["split"] == split][name] for split in COLOURS if (known["split"] == split).any()}
        axes.hist(list(parts.values()), bins=24, stacked=True, color=[COLOURS[split] for split in parts], label=list(parts))
        axes.set_xlabel(words)
        axes.set_ylabel("responses")
        if place == 1:
            _legend(axes)
    figure.tight_layout()
    return figure
