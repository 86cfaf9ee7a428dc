"""What batching, one embedding per text and better kernels bring: ``generate`` and ``clap_filter`` against the original's loops.

Generation: the stage's own code, called in its environment (batches of 4, two shards, the model loaded anew each time, FLAC written),
against ``stable_audio_tools.generate_diffusion_cond`` called for one clip after the other as Synthio does. Same embedded model (192 wide,
4 layers, 5-second canvas), same random weights, sampler (v-ddim), 30 steps, guidance, and Griffin-Lim at the end. Filter: the stage's
code against ``laion_clap.CLAP_Module`` asked for each file's text and sound, one file after the other; HTSAT-tiny with full-size RoBERTa,
the same random weights, loaded anew each time in ours alone. Ours also computes what theirs does not: rank, margin, caption score. Both
once in float32 and once with the transformer, or the audio tower, in bfloat16.

"One core" is one thread on both sides, in seconds of the processor, so that other work on the machine does not count. "All cores" is
what each does on the whole machine, by the clock: the original one process with as many threads as cores, ours one single-threaded child
per core, each with its share of the shards. The sides alternate; figures are medians of ratios.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.child import Child
from benchmarks.run import Figure
from core import environments, keys
from core.launcher import clean_environment

REPEATS = 3
SHARDS = 2
PRECISIONS = ("float32", "bfloat16")
"""Of the transformer, and of the audio tower."""
REALISTIC_CLIPS = 400
"""Clips of a realistic run: 200 gold clips, two for each."""
BENCH_CLIPS = {"generate": 8, "filter": 48}
"""Clips that a child generates or filters for one line; the model is loaded for them anew."""


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run."""
    with tempfile.TemporaryDirectory(prefix="synthloom-bench-") as scratch:
        root = Path(scratch)
        hub = root / "hub"
        command = [str(environments.python("clap")), "-c", TOKENIZER_PROGRAM, str(hub)]
        subprocess.run(command, check=True, env=clean_environment(1), cwd=keys.ROOT)
        return [*_compared("generate", "diffusion", root, hub), *_compared("filter", "clap", root, hub)]


def _compared(kind: str, environment: str, root: Path, hub: Path) -> list[Figure]:
    cores = os.cpu_count() or 1
    single = [_child(kind, environment, root / f"{kind}{number}", 1, hub) for number in range(cores)]
    whole = _child(kind, environment, root / f"{kind}-all", cores, hub)
    everything = " ".join(map(str, range(SHARDS)))
    try:
        for child in (*single, whole):
            child.seconds("warm")  # first calls compile, allocate and read files
        theirs, theirs_all = [], []
        ours: dict[str, list[float]] = {name: [] for name in PRECISIONS}
        ours_all: dict[str, list[float]] = {name: [] for name in PRECISIONS}
        inside = []
        for _ in range(REPEATS):
            theirs.append(single[0].seconds("theirs", "processor"))
            for name in PRECISIONS:
                single[0].say(f"ours {name} {everything}")
                answer = single[0].answer()
                ours[name].append(float(answer["processor"]))
                inside.append(float(answer["inside"]))
            theirs_all.append(whole.seconds("theirs"))
            for name in PRECISIONS:
                ours_all[name].append(_together(single, name))
        figures = []
        for name in PRECISIONS:
            figures.append(_figure(f"synthio: {kind}, {name}, one core", BENCH_CLIPS[kind], theirs, ours[name]))
            figures.append(_figure(f"synthio: {kind}, {name}, all {cores} cores", BENCH_CLIPS[kind], theirs_all, ours_all[name]))
        if kind == "generate":
            figures.append(_overhead(ours[PRECISIONS[0]], inside[:: len(PRECISIONS)], single[0].start_s))
        return figures
    finally:
        for child in (*single, whole):
            child.close()


def _child(kind: str, environment: str, folder: Path, threads: int, hub: Path) -> Child:
    """Start one process in a stage's environment."""
    folder.mkdir()
    offline = {"HF_HOME": str(hub), "HF_HUB_OFFLINE": "1"}
    return Child(environment, "-m", "benchmarks.synthio_child", kind, str(folder), threads=threads, variables=offline)


def _together(children: list[Child], precision: str) -> float:
    """Deal the shards to single-threaded children, and return when the last one is done."""
    started = time.perf_counter()
    for number, child in enumerate(children):
        child.say(f"ours {precision} {' '.join(str(shard) for shard in range(number, SHARDS, len(children)))}")
    for child in children:
        child.answer()
    return time.perf_counter() - started


def _figure(name: str, clips: int, theirs: list[float], ours: list[float]) -> Figure:
    ratio = median(one / other for one, other in zip(theirs, ours, strict=True))
    rates = f"{clips / median(ours):.2f} clips a second against {clips / median(theirs):.2f}"
    method = f"{rates}; ratios {', '.join(f'{one / other:.2f}' for one, other in zip(theirs, ours, strict=True))}"
    return Figure(name, round(ratio, 2), "×", "≥ 3", ratio >= 3, method)


def _overhead(ours: list[float], inside: list[float], start_s: float) -> Figure:
    """Work out what of a realistic stage's wall time is not the making of clips: the child's start, loading, manifests, combining."""
    fixed = start_s + median(one - other for one, other in zip(ours, inside, strict=True))
    work = median(inside) / BENCH_CLIPS["generate"] * REALISTIC_CLIPS
    share = fixed / (fixed + work)
    method = f"{fixed:.1f} s of start, imports, loading, manifests for {work:.0f} s of work on {REALISTIC_CLIPS} clips, one core, float32"
    return Figure("synthio: generate, share of the stage's time that is overhead", round(share, 3), "", "< 0.05", share < 0.05, method)


TOKENIZER_PROGRAM = """
import json, pathlib, sys
from tokenizers import ByteLevelBPETokenizer
commit = "0" * 40
folder = pathlib.Path(sys.argv[1]) / "hub" / "models--roberta-base"
(folder / "snapshots" / commit).mkdir(parents=True)
(folder / "refs").mkdir()
(folder / "refs" / "main").write_text(commit)
# Any real tokenizer will do for the time it takes: texts become about as many tokens.
words = [a + b + c + d for a in "bcdfghklmnprst" for b in "aeiou" for c in "dklmnrst" for d in ("", "a", "o", "en", "ish")]
tokenizer = ByteLevelBPETokenizer()
tokenizer.train_from_iterator([" ".join(words)] * 3, 2000, min_frequency=1, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
tokenizer.save_model(str(folder / "snapshots" / commit))
(folder / "snapshots" / commit / "config.json").write_text(json.dumps({"model_type": "roberta"}))
"""
