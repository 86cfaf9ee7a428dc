"""Pictures for pages: log-mel spectrograms on one level scale, learning curves, confusion matrices."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy import signal

from core import atomic, audio

RANGE_DB = (-90.0, -15.0)
"""One range for all spectrograms of a page, so that levels compare."""
INK = "#888888"
"""Readable on light and on dark."""


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


def _svg(figure: Figure) -> str:
    figure.tight_layout()
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "synthloom", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
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
    figure = Figure(figsize=(6.4, 3.2))
    axes = _axes(figure)
    names = list(dict.fromkeys(name.split("#")[0] for name in lines))
    palette = mpl.colormaps["tab10"]
    for name, points in lines.items():
        base = name.split("#")[0]
        label = base if "#" not in name else None
        axes.plot(*zip(*points, strict=True), color=palette(names.index(base) % 10), label=label, linewidth=1.4, alpha=0.85)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=INK, alpha=0.2)
    if names:
        axes.legend(fontsize=8, labelcolor=INK, framealpha=0.0)
    return _svg(figure)


def confusion(matrix: npt.NDArray[np.int64], labels: Sequence[str]) -> str:
    """Return an SVG of a confusion matrix, rows true, columns predicted, with the counts in the cells."""
    side = 1.6 + 0.42 * len(labels)
    figure = Figure(figsize=(side, side))
    axes = _axes(figure)
    shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    for row in range(len(labels)):
        for column in range(len(labels)):
            if matrix[row, column]:
                colour = "white" if shares[row, column] > 0.5 else "#335577"
                axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=7, color=colour)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return _svg(figure)
