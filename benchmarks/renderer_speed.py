"""The pool that renders presets: its price against a bare loop over the same back end, two processes, faults, and memory.

The synthesisers are Dexed's engine and the tests' own VST3 plug-in in pedalboard, compiled on the spot (needs g++). Loop and pools render
the same presets in turn; figures are medians of the ratios of neighbouring turns. The price is counted in seconds of the processor, where
other work on the machine hardly counts. Needs ``envs/presets`` (./run.sh setup presets).
"""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.child import told
from benchmarks.run import Figure
from core import environments

TURNS, RENDERS = 7, 300
FAULTY, MANY = 1000, 10_000
PRICE, SCALING = 0.9, 1.8
GROWTH_MB = 50.0


def measure(turns: int = TURNS, renders: int = RENDERS, faulty: int = FAULTY, many: int = MANY) -> list[Figure]:
    """Return the figures; smaller sizes are for trying it out."""
    environments.build("presets", print)
    figures = [figure for backend in ("dexed", "pedalboard") for figure in _speed(backend, renders, turns)]
    return [*figures, _faults(faulty), *(_memory(backend, many) for backend in ("dexed", "pedalboard"))]


def _speed(backend: str, renders: int, turns: int) -> list[Figure]:
    found = _told("loop", backend, renders, turns)
    cost, clock = ({way: [turn[way][part] for turn in found] for way in ("bare", "pool", "two")} for part in (0, 1))
    price = [bare / pool for bare, pool in zip(cost["bare"], cost["pool"], strict=True)]
    scaling = [one / two for one, two in zip(clock["pool"], clock["two"], strict=True)]
    per_core = [f"{renders / median(cost[way]):.0f}" for way in ("pool", "bare")]
    per_second = [f"{renders / median(clock[way]):.0f}" for way in ("two", "pool")]
    method = f"{turns} turns of {renders} presets, 5 s at 32 kHz;"
    return [
        Figure(
            f"synth_proxy: pool against a bare loop, per second of the processor ({backend})", round(median(price), 2), "×", f"≥ {PRICE}",
            median(price) >= PRICE, f"{method} {per_core[0]} renders against {per_core[1]}, parent included; {_range(price)}",
        ),
        Figure(
            f"synth_proxy: two processes against one, by the clock ({backend})", round(median(scaling), 2), "×", f"≥ {SCALING}",
            median(scaling) >= SCALING, f"{method} {per_second[0]} a second on two cores, {per_second[1]} on one; {_range(scaling)}",
        ),
    ]  # fmt: skip


def _range(ratios: list[float]) -> str:
    return f"ratios {min(ratios):.2f} … {max(ratios):.2f}"


def _faults(size: int) -> Figure:
    found = _told("faults", "pedalboard", size)
    expected = size - found["crash"] - found["hang"]
    right = found["crash"] == size // 100 + (size % 100 > 50) and found["hang"] == size // 100 and found["ok"] == expected
    method = (
        f"of {size} presets {found['crash']} crashed and {found['hang']} hung (limit 5 s, tried twice); {found['ok']} rendered, "
        f"{found['unequal']} of them not as without faults; {found['started']} processes, {found['seconds']:.0f} s with two at a time"
    )
    holds = right and not found["unequal"]
    return Figure("synth_proxy: lost to the faults of others", expected - found["ok"] + found["unequal"], "presets", "0", holds, method)


def _memory(backend: str, size: int) -> Figure:
    found = _told("memory", backend, size)
    growth = found["last"] - found["first"]
    after = f"{found['first']:.0f} MB after {size // 10} renders, {found['last']:.0f} MB after {size}"
    method = f"{after}, at most {found['most']:.0f} MB; one process"
    holds = growth <= GROWTH_MB and found["started"] == 1
    return Figure(f"synth_proxy: growth over {size} renders ({backend})", round(growth, 1), "MB", f"≤ {GROWTH_MB:g}", holds, method)


def _told(kind: str, backend: str, *sizes: int) -> Any:
    return told("presets", "-m", "benchmarks.renderer_child", kind, backend, *map(str, sizes))
