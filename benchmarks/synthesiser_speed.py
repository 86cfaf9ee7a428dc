"""Our Voice against SynthAX's: 256 sounds of 1 s at 16 kHz, the same two cores, one run in which the two take turns.

Both children are started and warm before the first turn; SynthAX's compilation, which is done again for every batch size, is reported and
not counted. Parameters are drawn beforehand, noise is part of rendering (SynthAX computes one for all sounds, ours one for each). Figures
are medians of the ratios of neighbouring turns, once in seconds of the processor, where other work on the machine hardly counts, once by
the clock. Needs ``envs/synthax`` (./run.sh setup synthax).
"""

from __future__ import annotations

import os
from statistics import median

from benchmarks.child import Child
from benchmarks.run import Figure
from core import environments

TURNS = 9
SYNTH, BATCH, SECONDS = "voice", 256, 1.0
TARGET = 1.5


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run."""
    for name in ("synthax", "train"):  # the first is optional: nobody may have built it yet
        environments.build(name, print)
    cores = sorted(os.sched_getaffinity(0))[:2]
    sides: dict[str, Child] = {}
    try:
        for way, environment in (("theirs", "synthax"), ("ours", "train")):
            words = ("-m", "benchmarks.synthesiser_child", way, SYNTH, str(BATCH), *map(str, cores))
            sides[way] = Child(environment, *words, threads=len(cores), variables={"JAX_PLATFORMS": "cpu"})
        turns: dict[str, list[dict[str, float]]] = {way: [] for way in sides}
        for _ in range(TURNS):
            for way, child in sides.items():
                child.say("")
                turns[way].append(child.answer())
    finally:
        for child in sides.values():
            child.close()
    first = {way: child.first["first"] for way, child in sides.items()}
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
