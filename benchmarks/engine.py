"""What the engine itself costs: a stage that does nothing, planning over finished shards, a second run."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.run import Figure
from benchmarks.stages import test_stages
from core import environments, keys
from core.contract import load_spec
from core.devices import cpu_devices
from core.engine import Engine
from core.graph import Graph, Step
from core.launcher import clean_environment
from core.store import Store

REPEATS = 7
SHARDS = 1000


def measure() -> list[Figure]:
    """Return the engine's figures, all measured in this one run."""
    with tempfile.TemporaryDirectory(prefix="synthloom-bench-") as scratch, test_stages():
        root = Path(scratch)
        engine = Engine(Store(root / "data"), cpu_devices(), lease_folder=_folder(root / "leases"))
        return [_noop(engine), *_finished_shards(engine)]


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def _step(engine: Engine, stage: str, **fields: object) -> Step:
    graph = Graph(keys.FileDigests(engine.store.root / "digests.json"))
    return graph.add(stage, load_spec(stage).Request(**fields))


def _noop(engine: Engine) -> Figure:
    """Time a whole step against the bare interpreter with the same imports; the difference is the engine's own cost."""
    whole, bare = [], []
    command = [str(environments.python("orchestrator")), "-c", "import core.host, tasks.misbehave.stage"]
    for number in range(REPEATS):
        started = time.perf_counter()
        engine.run(_step(engine, "misbehave", salt=number))
        whole.append(time.perf_counter() - started)
        started = time.perf_counter()
        subprocess.run(command, check=True, env=clean_environment(1, cache=engine.store.root / "cache"), cwd=keys.ROOT)
        bare.append(time.perf_counter() - started)
    cost = median(whole) - median(bare)
    method = f"median of {REPEATS} no-op steps ({median(whole):.3f} s) minus the interpreter with the same imports ({median(bare):.3f} s)"
    return Figure("engine: cost of a stage that does nothing", round(cost, 3), "s", "< 0.5 s", cost < 0.5, method)


def _finished_shards(engine: Engine) -> list[Figure]:
    """Plan a step of which all shards but one are recorded, and the whole of a finished step."""
    step = _step(engine, "count", items=SHARDS, shards=SHARDS)
    folder = engine.store.partial("count", step.key) / "shards"
    for shard in range(SHARDS):
        (folder / f"{shard:04d}").mkdir(parents=True)
        (folder / f"{shard:04d}" / "items.json").write_text(json.dumps([shard]))
        (folder / f"{shard:04d}" / "shard.json").write_text(json.dumps({"shard": shard}))
    shutil.rmtree(folder / f"{SHARDS - 1:04d}")
    started = time.perf_counter()
    fresh = _step(engine, "count", items=SHARDS, shards=SHARDS)
    groups = engine.shard_groups(fresh)
    planned = time.perf_counter() - started
    if groups != [[SHARDS - 1]]:
        raise RuntimeError(f"planned {groups}, expected the one missing shard")
    engine.run(fresh)
    started = time.perf_counter()
    again = _step(engine, "count", items=SHARDS, shards=SHARDS)
    if engine.shard_groups(again) or not engine.run(again):
        raise RuntimeError("a finished step was planned again")
    second = time.perf_counter() - started
    name, method = "engine: 1,000 shards, 999 done, planned", "content key, done records and the list of missing shards"
    again_name, again_method = "engine: second run of a finished step", "content key and done record"
    return [
        Figure(name, round(planned, 4), "s", "< 5 s", planned < 5, method),
        Figure(again_name, round(second, 4), "s", "< 5 s", second < 5, again_method),
    ]
