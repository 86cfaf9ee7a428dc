"""Pictures for pages: spectrograms on one level scale, learning curves, scores with intervals, confusion matrices.

Drawings take their colours from the page they stand in, by its CSS variables, so that they fit light and dark alike.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import signal

from core import atomic, audio

RANGE_DB = (-90.0, -15.0)
"""One range for all spectrograms of a page, so that levels compare."""
INK, TEXT, ACCENT = "#888887", "#888886", "#888885"
"""What matplotlib draws in; replaced by the page's colours for quiet lines and words, for words to be read, and for what stands out."""
VARIABLES = {INK: "var(--soft, #888888)", TEXT: "var(--ink, #666666)", ACCENT: "var(--accent, #4f6fd0)"}
FILL = "#3f63c9"
"""Cells of a confusion matrix, laid over the page with the share as opacity."""
WHITE_FROM = 0.85
"""Share from which a cell is so full that its number is white: below, the page's own text colour reads better, by day and by night."""


def log_spectrogram(samples: audio.Samples, rate_hz: int, bands: int = 96, columns: int = 240) -> npt.NDArray[np.float64]:
    """Return a log-frequency spectrogram in dB full scale, [bands, columns], low frequencies first, 50 Hz to Nyquist."""
    size = 1024
    padded = np.pad(samples, (0, max(0, 2 * size - len(samples))))
    step = max(64, (len(padded) - size) // columns)
    _, _, transform = signal.stft(padded, rate_hz, nperseg=size, noverlap=size - step, boundary=None, padded=False)
    power = np.abs(transform) ** 2
    edges = np.geomspace(50, rate_hz / 2, bands + 1) / rate_hz * size
    rows = [power[int(low) : max(int(low) + 1, int(np.ceil(high)))].max(0) for low, high in itertools.pairwise(edges)]
    return np.asarray(10 * np.log10(np.maximum(np.stack(rows), 1e-12)))


def write_spectrogram(path: Path, source: Path) -> None:
    """Draw a sound file's spectrogram as a small PNG."""
    samples, rate_hz = audio.read(source)
    levels = log_spectrogram(samples.mean(axis=0), rate_hz)
    scaled = np.clip((levels - RANGE_DB[0]) / (RANGE_DB[1] - RANGE_DB[0]), 0, 1)
    picture = mpl.colormaps["magma"](scaled[::-1])
    with atomic.replacing(path) as temporary:
        mpl.image.imsave(temporary, picture, format="png")


SCHEMES = (
    ":root{--ink:#1c2024;--soft:#666e78;--accent:#3557c4}"
    "@media (prefers-color-scheme:dark){:root{--ink:#e7eaee;--soft:#9aa4b0;--accent:#8ea8ff}}"
)
"""The pages' colours by day and by night, for a drawing in a file of its own, which sees no page's variables."""


def standalone(figure: Figure) -> str:
    """Return a figure, laid out by who drew it, as an SVG file that follows the reader's light or dark scheme, in a page's image too."""
    text = _written(figure)
    end = text.index(">", text.index("<svg")) + 1
    return f"{text[:end]}<style>{SCHEMES}</style>{text[end:]}"


def _svg(figure: Figure) -> str:
    figure.tight_layout()
    return _written(figure)


def _written(figure: Figure) -> str:
    """Return a figure as SVG, laid out as it is."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "synthloom", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    return text[text.index("<svg") :]


def _axes(figure: Figure) -> mpl.axes.Axes:
    axes = figure.add_subplot()
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.tick_params(colors=INK, labelsize=8)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return axes


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str) -> str:
    """Return an SVG with one line per name; a name is drawn once, further runs of it as ``name#2`` in the same colour."""
    names = list(dict.fromkeys(name.split("#")[0] for name in lines))
    few = len(names) <= 6
    figure = Figure(figsize=(6.4, 3.2 if few else 3.2 + 0.2 * len(names)))
    axes = _axes(figure)
    palette = mpl.colormaps["tab10" if len(names) <= 10 else "tab20"]
    for name, points in lines.items():
        base = name.split("#")[0]
        label = base if "#" not in name else None
        axes.plot(*zip(*points, strict=True), color=palette(names.index(base) % palette.N), label=label, linewidth=1.4, alpha=0.85)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=INK, alpha=0.2)
    if few and names:
        axes.legend(fontsize=8, labelcolor=INK, framealpha=0.0)
    elif names:  # beside many lines there is no room: below the axes
        axes.legend(fontsize=7, labelcolor=INK, framealpha=0.0, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    return _svg(figure)


def intervals(rows: Sequence[tuple[str, Sequence[float], tuple[float, float] | None]], x: str) -> str:
    """Return an SVG with a line per arm: a faint dot for every run, a bar for the interval of the mean, a mark at the mean.

    Args:
        rows: (name, its runs' values, interval or None), the first arm first; a dashed line goes down from its mean.
        x: what the values are.
    """
    figure = Figure(figsize=(6.4, 0.9 + 0.3 * len(rows)))
    axes = _axes(figure)
    for place, (_, values, interval) in enumerate(rows):
        mean = float(np.mean(values))
        if interval:
            axes.plot(interval, (place, place), color=ACCENT, linewidth=3, alpha=0.45, solid_capstyle="round")
        axes.plot(values, [place] * len(values), "o", color=INK, markersize=4, alpha=0.6, markeredgewidth=0)
        axes.plot([mean], [place], "D", color=ACCENT, markersize=5.5, markeredgewidth=0)
        if place == 0:
            axes.axvline(mean, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    for label in axes.get_yticklabels():
        label.set_color(TEXT)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(x)
    axes.grid(axis="x", color=INK, alpha=0.2)
    return _svg(figure)


def bars(
    names: Sequence[str], values: Mapping[str, Sequence[float]], spans: Mapping[str, Sequence[tuple[float, float] | None]],
    lines: Mapping[str, float], y: str,
) -> str:  # fmt: skip
    """Return an SVG of grouped bars, with their intervals and dashed lines across.

    Args:
        names: of the groups, left to right.
        values: height of each group's bar, by kind of bar.
        spans: an interval for each bar, or none, by the same kinds.
        lines: heights of lines across, such as chance, by name; in the colours of the bars, in their order.
        y: what the values are.
    """
    figure = Figure(figsize=(max(4.0, 1.6 + 0.9 * len(names)), 3.4))
    axes = _axes(figure)
    palette, width = mpl.colormaps["tab10"], 0.8 / max(1, len(values))
    for number, (kind, heights) in enumerate(values.items()):
        places = [place + (number - (len(values) - 1) / 2) * width for place in range(len(names))]
        axes.bar(places, heights, 0.9 * width, color=palette(number), label=kind, linewidth=0)
        for place, span in zip(places, spans[kind], strict=True):
            if span:
                axes.plot((place, place), span, color=TEXT, linewidth=1.5)
    for number, (name, height) in enumerate(lines.items()):
        axes.axhline(height, color=palette(number), linewidth=1.2, linestyle=(0, (4, 3)), label=name)
    axes.set_xticks(range(len(names)), names)
    for label in axes.get_xticklabels():
        label.set_color(TEXT)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=INK, alpha=0.2)
    axes.legend(fontsize=8, labelcolor=INK, framealpha=0.0, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))  # clear of the bars
    return _svg(figure)


def heat_map(
    values: npt.NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], full: Sequence[float], labels: tuple[str, str]
) -> str:
    """Return an SVG of a table of numbers that are not negative, the number in each cell.

    Args:
        values: [rows, columns]; what is not finite is drawn as a dash.
        rows: names, top to bottom.
        columns: names, left to right.
        full: value of a full cell, for each row [rows].
        labels: what the columns and what the rows are.
    """
    words = 0.08 * max(len(name) for name in rows)
    figure = Figure(figsize=(0.8 + words + 0.5 * len(columns), 1.0 + 0.42 * len(rows)))
    axes = _axes(figure)
    for (row, column), value in np.ndenumerate(values):
        known = bool(np.isfinite(value))
        share = float(np.clip(value / full[row], 0, 1)) if known and full[row] > 0 else 0.0
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=FILL, alpha=share, linewidth=0))
        colour = "white" if share >= WHITE_FROM else TEXT
        axes.text(column, row, f"{value:.2f}" if known else "–", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    for label in axes.get_yticklabels():
        label.set_color(TEXT)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    return _svg(figure)


def confusion(matrix: npt.NDArray[np.int64], labels: Sequence[str]) -> str:
    """Return an SVG of a confusion matrix, rows true, columns predicted, with the counts in the cells."""
    side = 1.6 + 0.42 * len(labels)
    figure = Figure(figsize=(side, side))
    axes = _axes(figure)
    shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    for row, column in np.argwhere(matrix > 0):
        share = float(shares[row, column])
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=FILL, alpha=share, linewidth=0))
        colour = "white" if share >= WHITE_FROM else TEXT
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=7, color=colour)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return _svg(figure)
