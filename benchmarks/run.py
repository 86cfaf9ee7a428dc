"""Runs benchmarks by name and prints {benchmark, figure, unit, target, holds, method} for each figure."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine, page
from core.errors import InvalidValueError, nearest

BENCHMARKS = {
    "engine": ("benchmarks.engine", "benchmarks.throughput"),
    "delsa.rooms": ("benchmarks.rooms_speed",),
    "delsa.scenes": ("benchmarks.spatial_speed",),
    "doppelgangers.render": ("benchmarks.synthesiser_speed",),
    "doppelgangers.training": ("benchmarks.contrastive_speed",),
    "pages": ("benchmarks.pages_speed",),
    "synth_proxy.embed": ("benchmarks.hearing_speed",),
    "synth_proxy.render": ("benchmarks.renderer_speed",),
    "synthio.speed": ("benchmarks.synthio_speed",),
    "syntone.metrics": ("benchmarks.syntone_metrics",),
    "syntone.synthesis": ("benchmarks.syntone_synthesis",),
    "syntone.training": ("benchmarks.syntone_training",),
}
"""Modules by benchmark; a name that begins with a flow's measures a claim about that flow."""


@dataclass(frozen=True)
class Figure:
    """One measured figure and what was promised of it."""

    benchmark: str
    figure: float
    unit: str
    target: str
    holds: bool
    method: str


def chosen(names: Sequence[str]) -> list[str]:
    """Return the benchmarks to run: the named ones; ``all``, or nothing, for every one.

    Raises:
        InvalidValueError: there is no benchmark of that name.
    """
    wanted = list(BENCHMARKS) if not names or "all" in names else list(names)
    for name in wanted:
        if name not in BENCHMARKS:
            raise InvalidValueError("no such benchmark", where="bench", received=name, hint=nearest(name, BENCHMARKS))
    return wanted


def run_benchmarks(wanted: Sequence[str], root: Path, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run benchmarks that :func:`chosen` returned, keep their figures below the data root and write the page; return them.

    A benchmark that breaks down loses no other one's figures: it is a figure that does not hold, with its error as its method.

    Args:
        wanted: names.
        root: the data root.
        say: told of each benchmark when it begins and of its figures when it has ended.
    """
    found: list[dict[str, Any]] = []
    for number, name in enumerate(wanted, 1):
        say(f"{name} ({number} of {len(wanted)})")
        about, started = machine.describe(), time.monotonic()
        figures = [figure for module in BENCHMARKS[name] for figure in _measured(name, module)]
        page.keep(root, name, [asdict(figure) for figure in figures], about, time.monotonic() - started)
        found += [asdict(figure) for figure in figures]
        say(as_text(figures))
    say(f"page: {page.write(root, list(BENCHMARKS))}")
    return found


def _measured(name: str, module: str) -> list[Figure]:
    try:
        return list(importlib.import_module(module).measure())
    except Exception as error:  # whatever a benchmark raises
        return [
            Figure(f"{name}: {module.rpartition('.')[2]}", math.nan, "", "measured", False, f"broke down: {type(error).__name__}: {error}")
        ]


def as_text(figures: Sequence[Figure]) -> str:
    """Return figures as lines for the terminal."""
    return "\n".join(f"{'✓' if f.holds else '✗'} {f.benchmark}: {f.figure:g} {f.unit} (target {f.target})\n    {f.method}" for f in figures)
