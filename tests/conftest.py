"""Fixtures for tests that run stages as real child processes."""

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

# A missing hub is retried for minutes by some libraries; must be set before they are imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A background job of a script starts with SIGINT ignored and would hand that on to every process whose Ctrl-C is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
STAGES = ROOT / "tests" / "stages"


@pytest.fixture
def data_root(tmp_path, monkeypatch):
    """An empty data root, with leases of its own."""
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setenv("SYNTHLOOM_DATA", str(root))
    monkeypatch.setenv("SYNTHLOOM_LEASES", str(tmp_path / "leases"))
    return root


@pytest.fixture
def extra_stages(monkeypatch):
    """Make the stages below tests/stages known, here and in child processes."""
    monkeypatch.setenv("SYNTHLOOM_STAGES", str(STAGES))
    import tasks

    monkeypatch.setattr(tasks, "__path__", [str(STAGES), *tasks.__path__])
    yield
    for name in [name for name in sys.modules if name.startswith(("tasks.count", "tasks.misbehave"))]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def engine(data_root, extra_stages, monkeypatch):
    """An engine with two CPU slots that collects events in ``engine.events``."""
    from core.devices import Device
    from core.engine import Engine
    from core.store import Store

    os.environ.pop("SYNTHLOOM_CHILD", None)
    devices = [Device("cpu", index, f"cpu-{index}", "test", 8000) for index in range(2)]
    seen = []
    made = Engine(Store(data_root), devices, observe=lambda step, event: seen.append(event))
    made.events = seen
    return made


@pytest.fixture
def make_step(data_root):
    """Build a step from a stage name and request fields."""
    from core import keys
    from core.contract import build, load_spec
    from core.graph import Graph

    def make(stage, **fields):
        graph = Graph(keys.FileDigests(data_root / "digests.json"))
        return graph.add(stage, build(load_spec(stage).Request, fields))

    return make
