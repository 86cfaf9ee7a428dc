"""Scenes our way against the original's: convolution of dry clips with RIRs, and features of scenes, at 48 kHz and 10 s a scene.

Convolution: a Cartesian block of 2 clips × 4 RIRs of 0.2 to 2 s, ours by ``tasks.spatial_features.convolution`` (each clip and RIR
transformed once, at a fast length), theirs item by item by torchaudio's ``fftconvolve`` with the dry clip repeated for the four channels.
Features: intensity vectors and the 64 mels that HTSAT hears of 4 scenes, ours in one batch, theirs item by item with transformers' numpy
mel. Both sides run in ``envs/train`` on one core, take turns, and must have made the same (sizes and levels are compared). Figures are
medians of the ratios of neighbouring turns in seconds of the processor.
"""

from __future__ import annotations

import os
from statistics import median

from benchmarks.child import Child
from benchmarks.run import Figure
from core import environments

TURNS = 5
TARGETS = {"convolve": 5.0, "features": 3.0}
SCENES = {"convolve": 8, "features": 4}


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run.

    Raises:
        RuntimeError: the two sides did not make the same.
    """
    environments.build("train", print)
    core = sorted(os.sched_getaffinity(0))[0]
    sides: dict[str, Child] = {}
    try:
        for way in ("theirs", "ours"):
            sides[way] = Child("train", "-m", "benchmarks.spatial_child", way, str(core), variables={"HF_HUB_OFFLINE": "1"})
        for work in TARGETS:
            _compare(work, sides["ours"].first[work], sides["theirs"].first[work])
        turns = [{(way, work): child.seconds(work, "processor") for work in TARGETS for way, child in sides.items()} for _ in range(TURNS)]
    finally:
        for child in sides.values():
            child.close()
    return [_figure(work, turns) for work in TARGETS]


def _compare(work: str, ours: list[tuple[list[int], float]], theirs: list[tuple[list[int], float]]) -> None:
    alike = len(ours) == len(theirs) and all(
        one[0] == other[0] and abs(one[1] - other[1]) <= 0.01 * max(1.0, abs(other[1])) for one, other in zip(ours, theirs, strict=True)
    )  # fmt: skip
    if not alike:
        raise RuntimeError(f"{work}: the two sides did not make the same: {ours} against {theirs}")


def _figure(work: str, turns: list[dict[tuple[str, str], float]]) -> Figure:
    ratios = [turn["theirs", work] / turn["ours", work] for turn in turns]
    each = {way: 1000 * median(turn[way, work] for turn in turns) / SCENES[work] for way in ("ours", "theirs")}
    told = f"ours {each['ours']:.0f} ms a scene against {each['theirs']:.0f}; one core; ratios {min(ratios):.1f} … {max(ratios):.1f}"
    ratio, target = median(ratios), TARGETS[work]
    title = {"convolve": "convolution against torchaudio", "features": "features against the original's"}[work]
    return Figure(f"delsa: {title}", round(ratio, 2), "×", f"≥ {target:g}", ratio >= target, told)
