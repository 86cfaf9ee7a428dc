"""Runs benchmarks by name and prints {benchmark, figure, unit, target, holds, method} for each figure."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import InvalidValueError, nearest

BENCHMARKS = {
    "engine": ("benchmarks.engine", "benchmarks.throughput"),
    "delsa.rooms": ("benchmarks.rooms_speed",),
    "delsa.scenes": ("benchmarks.spatial_speed",),
    "doppelgangers.render": ("benchmarks.synthesiser_speed",),
    "doppelgangers.training": ("benchmarks.contrastive_speed",),
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


def run_benchmarks(wanted: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    """Run benchmarks that :func:`chosen` returned; return the figures as dicts and as text."""
    modules = [module for name in wanted for module in BENCHMARKS[name]]
    figures = [figure for module in modules for figure in importlib.import_module(module).measure()]
    lines = [f"{'✓' if f.holds else '✗'} {f.benchmark}: {f.figure:g} {f.unit} (target {f.target})\n    {f.method}" for f in figures]
    return [asdict(figure) for figure in figures], "\n".join(lines)
