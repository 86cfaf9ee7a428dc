"""Figures with axes and units: a sound as waveform, spectrum and mel power; traversals; responses of the codes to the factors.

A figure is drawn as a PNG on white, for papers; those that pages show, also as an SVG that follows the reader's light or dark scheme.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from core import atomic
from core.gallery import pictures
from tasks.grid.reading import Factor

FLOOR_DB = -100.0
"""Lowest level of a spectrum drawn, dB full scale."""
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ink:
    """Colours of a drawing."""

    line: str
    """Axes and grid."""
    text: str
    """Titles."""
    accent: str
    """Curves."""


PAGE = Ink(pictures.INK, pictures.TEXT, pictures.ACCENT)
PAPER = Ink("#5b636d", "#1c2024", "#3557c4")


@dataclass(frozen=True)
class Scale:
    """How the clips of one model are drawn."""

    sample_rate_hz: int
    """Of the sounds."""
    hop: int
    """Samples between two frames."""
    low_hz: float
    """Lower edge of the mel bands."""
    high_hz: float
    """Upper edge of the mel bands."""
    top_db: float
    """Level of the brightest colour, dB of mel power."""
    range_db: float
    """Range of the colours below it."""
    excerpt_ms: float
    """Length of waveform drawn."""


@dataclass(frozen=True)
class Panel:
    """One sound in three views."""

    name: str
    """What it is."""
    samples: Array
    """[samples], full scale ±1."""
    levels_db: Array
    """Mel power in dB [mels, frames]."""


def write_png(stem: Path, draw: Callable[[Ink], Figure]) -> str:
    """Write ``stem.png``, on white; return its name."""
    buffer = io.BytesIO()
    draw(PAPER).savefig(buffer, format="png", dpi=110, facecolor="white", metadata={"Software": None})
    atomic.write_bytes(stem.with_suffix(".png"), buffer.getvalue())
    return f"{stem.name}.png"


def write_svg(stem: Path, draw: Callable[[Ink], Figure]) -> str:
    """Write ``stem.svg``, which follows the reader's scheme; return its name."""
    atomic.write_text(stem.with_suffix(".svg"), pictures.standalone(draw(PAGE)))
    return f"{stem.name}.svg"


def spectrum_db(samples: Array) -> npt.NDArray[np.float64]:
    """Return the magnitude spectrum under a Hann window in dB, [samples // 2 + 1]; a sine of amplitude 1 on a bin is 0 dB."""
    window = np.hanning(len(samples) + 1)[:-1]
    magnitude = np.abs(np.fft.rfft(samples * window)) / (window.sum() / 2)
    return np.asarray(20 * np.log10(np.maximum(magnitude, 10 ** (FLOOR_DB / 20))))


def hz_mel(frequencies: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return places on Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, 27 steps per factor 6.4 above."""
    above = 15 + 27 / np.log(6.4) * np.log(np.maximum(frequencies, 1.0) / 1000)
    return np.where(frequencies < 1000, 3 / 200 * frequencies, above)


def views(panels: Sequence[Panel], scale: Scale, title: str) -> Callable[[Ink], Figure]:
    """Draw sounds, one a row: an excerpt of the waveform, the spectrum in dB full scale, the mel power in dB."""

    def draw(ink: Ink) -> Figure:
        figure = _figure(0.5 + 2.1 * len(panels), Margins(0.62, 0.1, 0.6, 0.42))
        figure.suptitle(title, fontsize=10, color=ink.text, y=1 - 0.1 / figure.get_figheight(), va="top")
        grid = figure.subplots(len(panels), 4, squeeze=False, width_ratios=(1, 1, 1, 0.04), gridspec_kw={"hspace": 0.62, "wspace": 0.4})
        peak = max(1e-3, *(float(np.abs(excerpt(panel.samples, scale)[1]).max()) for panel in panels))
        for axes, panel in zip(grid, panels, strict=True):
            _waveform(axes[0], panel, scale, peak, ink)
            _spectrum(axes[1], panel, scale, ink)
            _mel(axes[2], axes[3], panel, scale, ink)
        return figure

    return draw


def excerpt(samples: Array, scale: Scale) -> tuple[npt.NDArray[np.float64], Array]:
    """Return the times in ms and the samples of the excerpt from the middle of a sound."""
    length = min(len(samples), max(2, round(scale.excerpt_ms / 1000 * scale.sample_rate_hz)))
    start = (len(samples) - length) // 2
    return 1000 * (start + np.arange(length)) / scale.sample_rate_hz, samples[start : start + length]


def _waveform(axes: Axes, panel: Panel, scale: Scale, peak: float, ink: Ink) -> None:
    axes.plot(*excerpt(panel.samples, scale), color=ink.accent, linewidth=1)
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    _label(axes, ink, f"{panel.name}: waveform", "ms", "full scale ±1")


def _spectrum(axes: Axes, panel: Panel, scale: Scale, ink: Ink) -> None:
    levels = spectrum_db(panel.samples)
    # As many points as can be told apart; the maximum of each group, so that no line is lost.
    group = max(1, len(levels) // 600)
    levels = np.pad(levels, (0, -len(levels) % group), constant_values=FLOOR_DB).reshape(-1, group).max(axis=1)
    axes.plot(np.linspace(0, scale.sample_rate_hz / 2000, len(levels)), levels, color=ink.accent, linewidth=0.8)
    axes.set_ylim(FLOOR_DB, 5)
    _label(axes, ink, f"{panel.name}: spectrum", "kHz", "dB re full-scale sine")


def _mel(axes: Axes, beside: Axes, panel: Panel, scale: Scale, ink: Ink) -> None:
    mels, frames = panel.levels_db.shape
    image = axes.imshow(
        panel.levels_db, origin="lower", aspect="auto", cmap="magma", vmin=scale.top_db - scale.range_db, vmax=scale.top_db,
        interpolation="none", extent=(0, frames * scale.hop / scale.sample_rate_hz, 0.5, mels + 0.5),
    )  # fmt: skip
    marks = np.array([0.25, 0.5, 1, 2, 4, 8, 16])
    low, high = hz_mel(np.array([scale.low_hz, scale.high_hz]))
    places = (hz_mel(1000 * marks) - low) / (high - low) * (mels + 1)  # the middle of band b, from 1, is step b of mels + 1
    inside = (places >= 0.5) & (places <= mels + 0.5)
    axes.set_yticks(places[inside], [f"{mark:g}" for mark in marks[inside]])
    _bar(image, beside, "dB", ink)
    _beside(axes, beside)
    _label(axes, ink, f"{panel.name}: mel power", "s", "kHz")


def traversal(tiles: Array, rows: Sequence[str], values: Array, scale: Scale, title: str) -> Callable[[Ink], Figure]:
    """Draw a traversal, one row for each dimension.

    Args:
        tiles: mel power in dB [rows, steps, mels, frames].
        rows: names of the rows.
        values: of the code at each step [steps].
        scale: of the colours.
        title: above it all.
    """
    count, steps, mels, frames = tiles.shape
    gap = max(1, frames // 16)

    def draw(ink: Ink) -> Figure:
        figure = _figure(1.0 + 0.95 * count, Margins(0.5, 0.6, 0.35, 0.5))
        axes, beside = figure.subplots(1, 2, width_ratios=(1, 0.012), gridspec_kw={"wspace": 0.02})
        canvas = np.full((count * (mels + 4 * gap) - 4 * gap, steps * (frames + gap) - gap), np.nan)
        for (row, step), _ in np.ndenumerate(np.empty((count, steps))):
            top, left = row * (mels + 4 * gap), step * (frames + gap)
            canvas[top : top + mels, left : left + frames] = tiles[row, step, ::-1]
        colours = mpl.colormaps["magma"].with_extremes(bad=(0, 0, 0, 0))
        low = scale.top_db - scale.range_db
        image = axes.imshow(canvas, aspect="auto", cmap=colours, vmin=low, vmax=scale.top_db, interpolation="none")
        axes.set_xticks([step * (frames + gap) + (frames - 1) / 2 for step in range(steps)], [f"{value:+.2g}" for value in values])
        axes.set_yticks([row * (mels + 4 * gap) + (mels - 1) / 2 for row in range(count)], rows)
        _bar(image, beside, "mel power, dB", ink)
        _label(axes, ink, title, "value of the code, standard deviations of the prior", "")
        for spine in axes.spines.values():
            spine.set_visible(False)
        return figure

    return draw


def responses(codes: Array, table: pd.DataFrame, factors: Sequence[Factor]) -> Callable[[Ink], Figure]:
    """Draw, for each factor, every code's mean and ± standard deviation over the clips of each value.

    Args:
        codes: means of q(z|x) [clips, D].
        table: the factors' columns, aligned with the codes.
        factors: which to draw; nominal ones get their classes' names.
    """
    palette = mpl.colormaps["tab10" if codes.shape[1] <= 10 else "tab20"]

    def draw(ink: Ink) -> Figure:
        figure = _figure(3.4, Margins(0.62, 0.1, 0.35, 0.85))
        found = np.atleast_1d(figure.subplots(1, len(factors), sharey=True, gridspec_kw={"wspace": 0.08}))
        for place, (axes, factor) in enumerate(zip(found, factors, strict=True)):
            shown, mean, spread = response(codes, table[factor.name].to_numpy())
            nominal = factor.kind == "nominal"
            for number in range(codes.shape[1]):
                colour, label = palette(number % palette.N), f"z{number + 1}"
                middle, around = mean[:, number], spread[:, number]
                if nominal:
                    shift = 0.6 * ((number + 0.5) / codes.shape[1] - 0.5)
                    axes.errorbar(shown + shift, middle, around, fmt="o", markersize=4, linewidth=1.2, color=colour, label=label)
                else:
                    axes.plot(shown, middle, color=colour, linewidth=1.3, label=label)
                    axes.fill_between(shown, middle - around, middle + around, color=colour, alpha=0.12, linewidth=0)
            unit = f", {factor.unit}" if factor.unit else ""
            _label(axes, ink, f"codes by {factor.name}", "" if nominal else f"{factor.name}{unit}", "mean of q(z|x)" if place == 0 else "")
            if nominal:
                axes.set_xticks(range(len(factor.values)), [str(value) for value in factor.values])
            axes.grid(color=ink.line, alpha=0.2)
        handles, labels = found[0].get_legend_handles_labels()
        columns = min(10, codes.shape[1])
        figure.legend(handles, labels, loc="lower center", ncols=columns, fontsize=8, labelcolor=ink.line, framealpha=0.0)
        return figure

    return draw


def response(codes: Array, column: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], Array, Array]:
    """Return a factor's values ascending [values], and the codes' mean and standard deviation at each of them [values, D]."""
    shown, inverse = np.unique(column, return_inverse=True)
    counts = np.bincount(inverse)[:, None]
    mean = np.stack([np.bincount(inverse, code) for code in codes.T.astype(np.float64)], axis=1) / counts
    apart = (codes - mean[inverse]) ** 2
    spread = np.sqrt(np.stack([np.bincount(inverse, part) for part in apart.T], axis=1) / counts)
    return shown, mean.astype(np.float32), spread.astype(np.float32)


class Margins(NamedTuple):
    """Room around the axes of a figure, in inches; given, since to measure it takes longer than to draw."""

    left: float
    right: float
    top: float
    bottom: float


def _figure(height: float, margins: Margins, width: float = 9.6) -> Figure:
    figure = Figure(figsize=(width, height))
    left, bottom = margins.left / width, margins.bottom / height
    figure.subplots_adjust(left=left, right=1 - margins.right / width, top=1 - margins.top / height, bottom=bottom)
    return figure


def _bar(image: AxesImage, beside: Axes, label: str, ink: Ink) -> None:
    """Draw the scale of the colours into axes of its own."""
    bar = beside.figure.colorbar(image, cax=beside)
    beside.tick_params(colors=ink.line, labelsize=7)
    bar.outline.set_edgecolor(ink.line)
    bar.set_label(label, color=ink.line, fontsize=8)


def _beside(axes: Axes, beside: Axes) -> None:
    """Move narrow axes close to their picture."""
    here, there = axes.get_position(), beside.get_position()
    beside.set_position((here.x1 + 0.008, there.y0, there.width, there.height))


def _label(axes: Axes, ink: Ink, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9, color=ink.text)
    axes.set_xlabel(x, fontsize=8, color=ink.line)
    axes.set_ylabel(y, fontsize=8, color=ink.line)
    axes.tick_params(colors=ink.line, labelsize=7)
    for spine in axes.spines.values():
        spine.set_color(ink.line)
