"""Shards per second through the engine against the same shards run other ways; and a second run over 10,000 clips.

A shard sleeps 50 ms and writes one small file: what is measured is what each way adds to that. Every way uses the same interpreter
and the same number of workers at a time, one after the other in this one run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.run import Figure
from benchmarks.stages import test_stages
from core import environments, keys
from core.contract import load_spec
from core.devices import Device, cpu_devices
from core.engine import Engine
from core.graph import Graph, Step
from core.launcher import clean_environment
from core.store import Store

SHARD_S = 0.05
SLOTS = (1, 2, 4, 8)
SHARDS_PER_SLOT = 120
"""Six seconds of ideal time: a child's start, paid once, is then a few per cent, as it is for shards of real work."""
PEER_SLOTS, PEER_SHARDS = 4, 160
CLIPS = 10_000
SHARD_PROGRAM = f"import sys, time; time.sleep({SHARD_S}); open(sys.argv[1], 'w').write('[1]')"


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run."""
    with tempfile.TemporaryDirectory(prefix="synthloom-bench-") as scratch, test_stages():
        root = Path(scratch)
        return [*_efficiencies(root), *_against_peers(root), _second_run_of_a_large_dataset(root)]


def _engine(root: Path, slots: int) -> Engine:
    devices = [Device("cpu", index, f"cpu-{index}", "bench", 64_000) for index in range(slots)]
    (root / "leases").mkdir(parents=True, exist_ok=True)
    return Engine(Store(root), devices, lease_folder=root / "leases")


def _count(engine: Engine, shards: int, salt: int) -> Step:
    request = load_spec("count").Request(items=shards + salt, shards=shards, seconds_per_shard=SHARD_S)
    return Graph(keys.FileDigests(engine.store.root / "digests.json")).add("count", request)


def _through_engine(root: Path, slots: int, shards: int, salt: int = 0) -> float:
    """Return the seconds that the engine needs for all shards, from planning to the last record; the combining run is left out."""
    engine = _engine(root, slots)
    started = time.perf_counter()
    step = _count(engine, shards, salt)
    threads = [threading.Thread(target=engine.run_shards, args=(step, group)) for group in engine.shard_groups(step)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if len(engine.store.done_shards("count", step.key)) != shards:
        raise RuntimeError("the engine left shards undone")
    return seconds


def _efficiencies(root: Path) -> list[Figure]:
    figures = []
    _through_engine(root / "slots", 1, 1)  # the first child of a data root compiles what it imports; that is not what is measured
    for slots in SLOTS:
        shards = SHARDS_PER_SLOT * slots
        seconds = _through_engine(root / "slots", slots, shards)
        share = SHARD_S * SHARDS_PER_SLOT / seconds
        method = f"{shards} shards of 50 ms in {seconds:.2f} s, {shards / seconds:.0f} a second; ideal {SHARD_S * SHARDS_PER_SLOT:.1f} s"
        figures.append(Figure(f"engine: share of the ideal rate, {slots} slots", round(share, 3), "", "≥ 0.9", share >= 0.9, method))
    return figures


def _against_peers(root: Path) -> list[Figure]:
    """Time the same shards through the engine and through its peers; a figure is the engine's rate over the peer's."""
    ways: dict[str, Callable[[Path], None]] = {
        "a pool of bare subprocesses": _subprocess_pool,
        "plain Prefect tasks, a child each": _plain_prefect,
    }
    if shutil.which("make"):
        ways["make -j"] = _make
    if shutil.which("parallel"):
        ways["GNU parallel"] = _gnu_parallel
    ours = _through_engine(root / "slots", PEER_SLOTS, PEER_SHARDS, salt=1)
    figures = []
    for name, way in ways.items():
        folder = root / name.split()[-1]
        folder.mkdir()
        started = time.perf_counter()
        way(folder)
        seconds = time.perf_counter() - started
        if len(list(folder.glob("*.json"))) != PEER_SHARDS:
            raise RuntimeError(f"{name} left shards undone")
        method = f"{PEER_SHARDS} shards of 50 ms, {PEER_SLOTS} at a time: engine {ours:.2f} s, {name} {seconds:.2f} s"
        figures.append(Figure(f"engine: rate against {name}", round(seconds / ours, 2), "×", "> 1", seconds > ours, method))
    return figures


def _python() -> str:
    return str(environments.python("orchestrator"))


def _subprocess_pool(folder: Path) -> None:
    def one(number: int) -> None:
        subprocess.run([_python(), "-c", SHARD_PROGRAM, str(folder / f"{number}.json")], check=True, env=clean_environment(1))

    with ThreadPoolExecutor(PEER_SLOTS) as pool:
        list(pool.map(one, range(PEER_SHARDS)))


def _make(folder: Path) -> None:
    targets = " ".join(f"{number}.json" for number in range(PEER_SHARDS))
    (folder / "Makefile").write_text(f'all: {targets}\n%.json:\n\t{_python()} -c "{SHARD_PROGRAM}" $@\n')
    subprocess.run(["make", "-s", f"-j{PEER_SLOTS}", "-C", str(folder)], check=True, env=clean_environment(1))


def _gnu_parallel(folder: Path) -> None:
    numbers = "\n".join(map(str, range(PEER_SHARDS)))
    command = ["parallel", "--will-cite", f"-j{PEER_SLOTS}", _python(), "-c", f'"{SHARD_PROGRAM}"', f"{folder}/{{}}.json"]
    subprocess.run(
        command, check=True, input=numbers, text=True, env={**clean_environment(1), "HOME": str(folder)}, stderr=subprocess.DEVNULL
    )


PREFECT_PROGRAM = """
import subprocess, sys, time
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

@task
def shard(number):
    subprocess.run([sys.executable, "-c", sys.argv[3], f"{sys.argv[1]}/{number}.json"], check=True)

@flow(task_runner=ThreadPoolTaskRunner(max_workers=int(sys.argv[4])))
def shards():
    for future in [shard.submit(number) for number in range(int(sys.argv[2]))]:
        future.result()

shards()
"""


def _plain_prefect(folder: Path) -> None:
    """Run one Prefect task per shard, each starting its own child, against a server that is up already."""
    environment = {**os.environ, "PREFECT_HOME": str(folder / "home"), "DO_NOT_TRACK": "1", "PREFECT_LOGGING_LEVEL": "ERROR"}
    if not environment.get("PREFECT_API_URL"):
        raise RuntimeError("a Prefect server must be up; benchmarks.run starts one")
    arguments = [str(folder), str(PEER_SHARDS), SHARD_PROGRAM, str(PEER_SLOTS)]
    subprocess.run([_python(), "-c", PREFECT_PROGRAM, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def _second_run_of_a_large_dataset(root: Path) -> Figure:
    """Check 10,000 clips into a manifest once, then time everything a second run does: digests, key, plan, done record."""
    folder = root / "clips"
    (folder / "audio").mkdir(parents=True)
    subprocess.run([str(environments.python("data")), "-c", CLIPS_PROGRAM, str(folder), str(CLIPS)], check=True, env=clean_environment(1))

    def run() -> float:
        started = time.perf_counter()
        engine = Engine(Store(root / "large"), cpu_devices(), lease_folder=root / "leases")
        spec = load_spec("prepare")
        digests = keys.FileDigests(root / "digests.json")
        request = spec.Request(csv=str(folder / "clips.csv"), root=str(folder), settings=spec.Settings(split_column="split"))
        step = Graph(digests).add("prepare", request)
        digests.save()
        done = engine.run(step)
        if done.result["accepted"] != CLIPS:
            raise RuntimeError(f"prepared {done.result}")
        return time.perf_counter() - started

    (root / "leases").mkdir(exist_ok=True)
    first, second = run(), run()
    method = f"{CLIPS} clips checked into a manifest in {first:.1f} s; the same again"
    return Figure("engine: second run over 10,000 clips", round(second, 2), "s", "< 10 s", second < 10, method)


CLIPS_PROGRAM = """
import sys, numpy, soundfile
folder, count = sys.argv[1], int(sys.argv[2])
rng = numpy.random.default_rng(0)
rows = ["path,label,split"]
for number in range(count):
    soundfile.write(f"{folder}/audio/{number}.wav", rng.normal(0, 0.1, 2000), 8000)
    rows.append(f"audio/{number}.wav,class {number % 10},{['train', 'val', 'test'][number % 3]}")
open(f"{folder}/clips.csv", "w").write("\\n".join(rows) + "\\n")
"""
