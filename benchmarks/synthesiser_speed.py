"""Our Voice against SynthAX's: 256 sounds of 1 s at 16 kHz, the same two cores, one run in which the two take turns.

Both children are started and warm before the first turn; SynthAX's compilation, which is done again for every batch size, is reported and
not counted. Parameters are drawn beforehand, noise is part of rendering (SynthAX computes one for all sounds, ours one for each). Figures
are medians of the ratios of neighbouring turns, once in seconds of the processor, where other work on the machine hardly counts, once by
the clock. Needs ``envs/synthax`` (./run.sh setup synthax).
"""

from __future__ import annotations

import json
import os
import subprocess
from statistics import median

from benchmarks.run import Figure
from core import environments, keys
from core.launcher import clean_environment

TURNS = 9
SYNTH, BATCH, SECONDS = "voice", 256, 1.0
TARGET = 1.5


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run."""
    for name in ("synthax", "train"):  # the first is optional: nobody may have built it yet
        environments.build(name, print)
    cores = sorted(os.sched_getaffinity(0))[:2]
    sides = {"theirs": _started("theirs", "synthax", cores), "ours": _started("ours", "train", cores)}
    try:
        first = {way: _told(child)["first"] for way, child in sides.items()}
        turns: dict[str, list[dict[str, float]]] = {way: [] for way in sides}
        for _ in range(TURNS):
            for way, child in sides.items():
                turns[way].append(_turn(child))
    finally:
        for child in sides.values():
            child.kill()
            child.wait()
    compiled = f"first batch: SynthAX {first['theirs']:.1f} s, most of it compilation, ours {first['ours']:.1f} s, not counted"
    return [_figure(what, turns, len(cores), compiled) for what in ("processor", "clock")]


def _figure(part: str, turns: dict[str, list[dict[str, float]]], cores: int, compiled: str) -> Figure:
    theirs, ours = ([turn[part] for turn in turns[way]] for way in ("theirs", "ours"))
    ratios = [one / other for one, other in zip(theirs, ours, strict=True)]
    rates = [f"{BATCH * SECONDS / median(side):.0f}" for side in (ours, theirs)]
    told = f"ours {rates[0]} × real time against {rates[1]}; {cores} cores, batch {BATCH}; ratios {min(ratios):.1f} … {max(ratios):.1f}"
    ratio = median(ratios)
    return Figure(
        f"doppelgangers: Voice against SynthAX ({part})", round(ratio, 2), "×", f"≥ {TARGET}", ratio >= TARGET, f"{told}; {compiled}"
    )


def _started(way: str, environment: str, cores: list[int]) -> subprocess.Popen[str]:
    command = [str(environments.python(environment)), "-m", "benchmarks.synthesiser_child", way, SYNTH, str(BATCH), *map(str, cores)]
    variables = {**clean_environment(len(cores)), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        command, cwd=keys.ROOT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _turn(child: subprocess.Popen[str]) -> dict[str, float]:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    return _told(child)


def _told(child: subprocess.Popen[str]) -> dict[str, float]:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(f"the measured side ended with {child.wait()}; is its environment built?")
    told: dict[str, float] = json.loads(line)
    return told
