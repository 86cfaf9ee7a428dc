"""What sharing a tone between amplitudes brings: ``synthesize_grid`` against the published loop, and the whole grid on two cores.

Against the loop: the same 4,000 clips (50 frequencies, 20 amplitudes, 4 waveforms, 1 s at 16 kHz), once as SynTone makes them, SciPy called
for every clip, float64 into one array, and once by the stage's renderer, in blocks of float32. Then both with uncompressed writing: theirs
one ``.npy`` (their ``numpy.savez_compressed``, which takes longer than the synthesis, is not counted against them), ours the whole stage:
Parquet, table, card, description. That ratio is lower, since most of our time is then the system's, copying into its file cache.
One process each, one thread, seconds of the processor, so that other work on the machine does not count; the sides alternate; figures are
medians of ratios.

The whole grid: 32,000 clips, the defaults, eight shards dealt to two children of the stage host, then the combining run; by the clock from
the first start to the last end, and the peak memory of both children added.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.child import told
from benchmarks.run import Figure
from core import environments, keys
from core.launcher import clean_environment

REPEATS = 3
FREQUENCIES, AMPLITUDES = 50, 20
CLIPS, SHARDS, CHILDREN = 32_000, 8, 2


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run."""
    with tempfile.TemporaryDirectory(prefix="synthloom-bench-") as scratch:
        return [*_against_the_loop(Path(scratch)), *_whole_grid(Path(scratch))]


def _against_the_loop(root: Path) -> list[Figure]:
    sides: dict[str, list[dict[str, float]]] = {"theirs": [], "ours": []}
    for _ in range(REPEATS):
        for way, found in sides.items():
            arguments = [way, str(root / way), str(FREQUENCIES), str(AMPLITUDES)]
            found.append(told("data", "-m", "benchmarks.syntone_child", *arguments))
            shutil.rmtree(root / way)
    return [
        _figure("syntone: synthesis against the published loop", "synthesis", sides, 10),
        _figure("syntone: synthesis and uncompressed writing against the same", "whole", sides, 1),
    ]


def _figure(name: str, part: str, sides: dict[str, list[dict[str, float]]], target: int) -> Figure:
    theirs, ours = ([one[part] for one in sides[way]] for way in ("theirs", "ours"))
    ratios = [one / other for one, other in zip(theirs, ours, strict=True)]
    clips = FREQUENCIES * AMPLITUDES * 4
    rates = f"{clips / median(ours):.0f} clips a second of one core against {clips / median(theirs):.0f}"
    method = f"{rates}; ratios {', '.join(f'{ratio:.1f}' for ratio in ratios)}"
    return Figure(name, round(median(ratios), 1), "×", f"≥ {target}", median(ratios) >= target, method)


def _whole_grid(root: Path) -> list[Figure]:
    request, output = root / "request.json", root / "grid"
    request.write_text(json.dumps({"shards": SHARDS}))
    command = [str(environments.python("data")), "-m", "core.host", "tasks.synthesize_grid", str(request), "--output", str(output)]
    command += ["--data-root", str(root)]
    started, peaks_mb = time.perf_counter(), []
    dealt = [",".join(str(shard) for shard in range(child, SHARDS, CHILDREN)) for child in range(CHILDREN)]
    children = [_started([*command, "--shards", shards]) for shards in dealt]
    for child in children:
        peaks_mb.append(_peak_mb(child))
    last_mb = _peak_mb(_started(command))
    seconds = time.perf_counter() - started
    result = json.loads((output / "result.json").read_text())
    if result["clips"] != CLIPS:
        raise RuntimeError(f"{result['clips']} clips instead of {CLIPS}")
    peak_mb = max(sum(peaks_mb), last_mb)
    size = f"{CLIPS} clips of 1 s at 16 kHz as float32 Parquet, {result['megabytes']:.0f} MB"
    how = f"{size}; {CHILDREN} children, their start and the combining run included"
    return [
        Figure("syntone: 32,000 clips on two cores", round(seconds, 1), "s", "< 60", seconds < 60, how),
        Figure(
            "syntone: peak memory of that", round(peak_mb), "MB", "< 1000", peak_mb < 1000, "largest resident sizes of both children, added"
        ),
    ]


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    # By hand, not as the engine's child, which would end when its input does.
    variables = {name: value for name, value in clean_environment(1).items() if name != "SYNTHLOOM_CHILD"}
    return subprocess.Popen(command, cwd=keys.ROOT, env=variables, stderr=subprocess.DEVNULL)


def _peak_mb(child: subprocess.Popen[bytes]) -> float:
    """Wait for a child and return its largest resident size, in 10⁶ bytes."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"the measured stage ended with {child.returncode}")
    return usage.ru_maxrss * 1024 / 1e6
