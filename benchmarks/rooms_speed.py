"""Responses per second of ``simulate_rooms``: two processes against one, each on a core of its own, and what a response costs.

As the stage makes them: drawn, simulated, measured and self-tested, with its default settings, only not written. Both processes are warm
before the first turn. In a turn one process makes two lots of responses, then both make one lot each. Ratios are medians over the turns,
once in seconds of the processor (what two processes cost each other), once by the clock, where other work on the two cores counts too.
"""

from __future__ import annotations

import os
import time
from statistics import median
from typing import Any

from benchmarks.child import Child
from benchmarks.run import Figure
from core import environments

TURNS, RESPONSES = 7, 12
RATE_HZ, MATERIALS = 48000, "flat"
TARGET = 1.8
SET, TARGET_MINUTES = 500, 5.0


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run."""
    environments.build("rooms", print)
    cores = sorted(os.sched_getaffinity(0))[:2]
    pair = [Child("rooms", "-m", "benchmarks.rooms_child", str(core), str(RATE_HZ), MATERIALS) for core in (cores * 2)[:2]]
    try:
        turns = [_turn(pair, number) for number in range(TURNS)]
    finally:
        for child in pair:
            child.close()
    cost = median(turn["cost"] for turn in turns)
    minutes = SET * cost / 60 / 2
    return [
        *(_figure(part, [turn[part] for turn in turns], len(cores)) for part in ("processor", "clock")),
        Figure(
            f"delsa: {SET} responses on two cores", round(minutes, 2), "min of the processor each", f"≤ {TARGET_MINUTES:g}",
            minutes <= TARGET_MINUTES, f"{1000 * cost:.0f} ms of the processor a response, in the median of {TURNS} turns",
        ),
    ]  # fmt: skip


def _figure(part: str, rates: list[tuple[float, float]], cores: int) -> Figure:
    ratios = [both / alone for alone, both in rates]
    alone, both = (median(rate[side] for rate in rates) for side in (0, 1))
    told = f"one {alone:.1f}/s, two {both:.1f}/s; ratios {min(ratios):.2f} … {max(ratios):.2f}; {TURNS} turns of {2 * RESPONSES} responses"
    name, ratio = f"delsa: responses per second, two processes against one ({part})", median(ratios)
    method = f"{told}, {RATE_HZ // 1000} kHz; {cores} cores"
    return Figure(name, round(ratio, 2), "×", f"≥ {TARGET}", ratio >= TARGET, method)


def _turn(pair: list[Child], number: int) -> dict[str, Any]:
    """Return (one process's, both processes') responses per second, by the processor and by the clock, and a response's processor time."""
    first = 1 + 2 * RESPONSES * number
    lots = [f"{first} {first + RESPONSES}", f"{first + RESPONSES} {first + 2 * RESPONSES}"]
    worker = pair[number % 2]
    started = time.perf_counter()
    alone = [_made(worker, lot) for lot in lots]
    middle = time.perf_counter()
    for child, lot in zip(pair, lots, strict=True):
        child.say(lot)
    both = [child.answer() for child in pair]
    ended = time.perf_counter()
    count = sum(float(one["responses"]) for one in both)
    busy = sum(float(one["processor"]) for one in alone)
    return {
        "processor": (count / busy, sum(float(one["responses"]) / float(one["processor"]) for one in both)),
        "clock": (count / (middle - started), count / (ended - middle)), "cost": busy / count,
    }  # fmt: skip


def _made(child: Child, lot: str) -> dict[str, Any]:
    child.say(lot)
    return child.answer()
