"""Is the training of ``doppelgangers`` ever waiting for sounds? Pairs made per second beside gradient steps on pairs that are ready.

One core, the cpu preset's sizes (128 pairs of Voice, 32 channels, bfloat16); making and stepping take turns in one process. And how long a
linear probe takes on embeddings as many as ESC-10's (400 of 512 dimensions, five folds, six penalties). Seconds of the processor, medians.
"""

from __future__ import annotations

import os
from statistics import median

from benchmarks.child import Child
from benchmarks.run import Figure
from core import environments

TURNS, PAIRS = 5, 128
MOST_SHARE, MOST_PROBE_S = 0.33, 2.0


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run."""
    environments.build("train", print)
    child = Child("train", "-m", "benchmarks.contrastive_child", str(sorted(os.sched_getaffinity(0))[0]))
    try:
        turns = [{work: child.seconds(work, "processor") for work in ("source", "step")} for _ in range(TURNS)]
        probes = [child.seconds("probe", "processor") for _ in range(3)]
    finally:
        child.close()
    source, step = (median(turn[work] for turn in turns) for work in ("source", "step"))
    share = median(turn["source"] / (turn["source"] + turn["step"]) for turn in turns)
    told = f"{PAIRS / source:.0f} pairs/s made, {PAIRS / step:.0f} pairs/s stepped on, {PAIRS / (source + step):.0f} together; one core"
    name = "doppelgangers: share of a training that makes sounds"
    return [
        Figure(name, round(share, 3), "", f"≤ {MOST_SHARE}", share <= MOST_SHARE, told),
        Figure(
            "doppelgangers: linear probe of 400 clips over five folds", round(median(probes), 2), "s", f"≤ {MOST_PROBE_S:g}",
            median(probes) <= MOST_PROBE_S, f"median of {len(probes)}; L-BFGS to its lowest point for six penalties and the refit",
        ),
    ]  # fmt: skip
