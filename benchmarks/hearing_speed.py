"""Embedding of preset sounds as ``render_presets`` does it against a per-file loop: sounds of 5 s at 32 kHz.

The loop reads one WAV file after the other and gives each to the audio model, on all cores that torch takes (its
default). Ours are the stage's processes, one for each of two cores with one thread each, which hear blocks of 64 from a memory-mapped
array. Models: mel statistics (the loop's by torchaudio) and EfficientAT's mn04 (weights by chance; the same network on both sides). Both
sides must have made the same. Figures are medians of the ratios of neighbouring turns by the clock; beside them is the ratio in seconds of
the processor, which is what one core alone gains.
"""

from __future__ import annotations

import tempfile
from statistics import median

from benchmarks.child import Child, told
from benchmarks.run import Figure
from core import environments

TURNS, TARGET = 5, 3.0
SOUNDS = 128
MODELS = ("mel", "mn04")
TOLERANCE = 1e-3


def measure(turns: int = TURNS, sounds: int = SOUNDS) -> list[Figure]:
    """Return the figures; smaller sizes are for trying it out.

    Raises:
        RuntimeError: the two sides did not make the same.
    """
    environments.build("presets", print)
    with tempfile.TemporaryDirectory() as name:
        told("presets", "-m", "benchmarks.hearing_child", "sounds", name, str(sounds))
        children: dict[str, list[Child]] = {"loop": [], "ours": []}
        try:
            children["loop"].append(Child("presets", "-m", "benchmarks.hearing_child", "loop", name, "0", str(sounds), threads=2))
            for first, last in ((0, sounds // 2), (sounds // 2, sounds)):
                children["ours"].append(Child("presets", "-m", "benchmarks.hearing_child", "ours", name, str(first), str(last)))
            _compare(children)
            found = [{(side, model): _turn(children[side], model) for model in MODELS for side in children} for _ in range(turns)]
        finally:
            for child in (one for some in children.values() for one in some):
                child.close()
    return [_figure(model, found, sounds) for model in MODELS]


def _compare(children: dict[str, list[Child]]) -> None:
    for model in MODELS:
        ours, theirs = (sum(child.first[model] for child in children[side]) for side in ("ours", "loop"))
        if abs(ours - theirs) > TOLERANCE * abs(theirs):
            raise RuntimeError(f"{model}: the two sides did not make the same: {ours} against {theirs}")


def _turn(children: list[Child], model: str) -> tuple[float, float]:
    """Have children work side by side; return seconds by the clock, of the slowest, and of the processor, of all."""
    for child in children:
        child.say(model)
    took = [child.answer() for child in children]
    return max(one["clock"] for one in took), sum(one["processor"] for one in took)


def _figure(model: str, turns: list[dict[tuple[str, str], tuple[float, float]]], sounds: int) -> Figure:
    clock, processor = ([turn["loop", model][part] / turn["ours", model][part] for turn in turns] for part in (0, 1))
    each = {side: 1000 * median(turn[side, model][0] for turn in turns) / sounds for side in ("ours", "loop")}
    method = (
        f"{sounds} sounds of 5 s; ours {each['ours']:.1f} ms a sound on two cores, the loop {each['loop']:.1f}; per processor second "
        f"{median(processor):.2f} ×; ratios {min(clock):.1f} … {max(clock):.1f}"
    )
    ratio = median(clock)
    title = f"synth_proxy: embedding against a per-file loop ({model})"
    return Figure(title, round(ratio, 2), "×", f"≥ {TARGET:g}", ratio >= TARGET, method)
