# mypy: ignore-errors
"""The measured side of ``synth_proxy.render``: ``python -m benchmarks.renderer_child KIND BACKEND SIZE …`` in ``envs/presets``.

Prints JSON. Clips of 5 s at 32 kHz, as in synth-proxy.

- ``loop SIZE TURNS``: [{bare, pool, two}], each (seconds of the processor, seconds by the clock) of SIZE renders, in turn by a bare loop
  over the back end and by a pool of one process, either on one core, and by a pool of two processes on two.
- ``faults SIZE``: {ok, crash, hang, unequal, started, seconds} of a pool of two processes, where number 50 of each hundred crashes and
  number 99 hangs.
- ``memory SIZE``: {first, last, most}, what one process holds in MB after a tenth of the renders, in the end, and at most.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tasks.renderer.interface import RenderSettings, finished, open_back_end
from tasks.renderer.pool import Job, Pool
from tests.plugins.building import FAULT, FAULTS, build_small_synth

SETTINGS = RenderSettings()
HANG_S = 5.0


def jobs(backend, known, size, start=0, faults=None):
    """Return presets by number: operators sound in Dexed, and no faults but the wanted ones in the tests' synthesiser."""
    for number in range(start, start + size):
        rng = random.Random(number)  # noqa: S311 - presets, not keys
        raw = {one.index: rng.random() for one in known}
        if backend == "pedalboard":
            raw[FAULT] = FAULTS[(faults or {}).get(number % 100, "none")]
        else:
            raw |= {one.index: 1.0 for one in known if one.name.endswith(("SWITCH", "OUTPUT LEVEL"))}
        yield Job(number, raw)


def loop(backend, plugin, size, turns):
    """Measure the bare loop and the pools, in turn."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores[:1])
    bare = open_back_end(backend, plugin, SETTINGS)
    known = bare.parameters()
    told = []
    with Pool(backend, plugin, SETTINGS, recycle_renders=10**9) as one:
        os.sched_setaffinity(0, cores)
        with Pool(backend, plugin, SETTINGS, workers=2, recycle_renders=10**9) as two:
            list(two.render(jobs(backend, known, 20)))
            for turn in range(turns):
                some = list(jobs(backend, known, size, turn * size))
                os.sched_setaffinity(0, cores[:1])
                bare_pass = [(job.raw, job.note) for job in some]
                seconds = {"bare": timed([], lambda bare_pass=bare_pass: [finished(bare.render(*job), SETTINGS) for job in bare_pass])}
                # Threads of the pools keep the cores they began with; those of the first were begun on one core.
                seconds["pool"] = timed(pids(one), lambda some=some: list(one.render(some)))
                os.sched_setaffinity(0, cores)
                seconds["two"] = timed(pids(two), lambda some=some: list(two.render(some)))
                told.append(seconds)
    return told


def faults(backend, plugin, size):
    """Render with faults and compare what is left with a run without any."""
    asked = {50: "crash", 99: "hang"}
    counts = {"ok": 0, "crash": 0, "hang": 0, "error": 0, "unequal": 0}
    with Pool(backend, plugin, SETTINGS, workers=2, timeout_s=HANG_S) as pool, Pool(backend, plugin, SETTINGS) as plain:
        known, started = pool.parameters(), time.perf_counter()
        kept = {}
        for outcome in pool.render(jobs(backend, known, size, faults=asked)):
            counts[outcome.status] += 1
            if outcome.audio is not None:
                kept[outcome.id] = hash(outcome.audio.tobytes())
        seconds = time.perf_counter() - started
        for outcome in plain.render(jobs(backend, known, size)):
            if outcome.id % 100 not in asked:
                counts["unequal"] += kept.get(outcome.id) != hash(outcome.audio.tobytes())
        return {**counts, "started": pool.started, "seconds": seconds}


def memory(backend, plugin, size):
    """Follow what one process holds."""
    held = []
    with Pool(backend, plugin, SETTINGS, recycle_renders=10**9, recycle_mb=10**6) as pool:
        for _ in pool.render(jobs(backend, pool.parameters(), size)):
            held.append(pool._workers[0].memory_mb)
        return {"first": held[size // 10], "last": held[-1], "most": max(held), "started": pool.started}


def pids(pool):
    """Return the processes of a pool."""
    return [worker._process.pid for worker in pool._workers if worker._process]


def spent(others):
    """Return the seconds of the processor that this process and others have used."""
    seconds = time.process_time()
    for pid in others:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def timed(others, work):
    """Return seconds of the processor, of this process and others, and seconds by the clock of one call."""
    started, before = time.perf_counter(), spent(others)
    work()
    return spent(others) - before, time.perf_counter() - started


def main(kind, backend, *sizes):
    """Measure one thing."""
    with tempfile.TemporaryDirectory() as folder:
        plugin = str(build_small_synth(Path(folder))) if backend == "pedalboard" else ""
        print(json.dumps({"loop": loop, "faults": faults, "memory": memory}[kind](backend, plugin, *map(int, sizes))))


if __name__ == "__main__":
    main(*sys.argv[1:])
