"""A folder as a person has it after the first run: a checkout's ``run.sh``, a data root with a finished run, sounds of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
WRAPPER = f"""#!/usr/bin/env bash
export SYNTHLOOM_UV="${{SYNTHLOOM_UV:-{ROOT}/.uv/bin/uv}}"
exec "{sys.executable}" -m cli "$@"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder, which this process and its children take for the one that commands are typed in."""
    made = tmp_path_factory.mktemp("typed")
    (made / "run.sh").write_text(WRAPPER)
    (made / "run.sh").chmod(0o755)
    for name in ("envs", "configs"):
        (made / name).symlink_to(ROOT / name)
    own = {
        "PYTHONPATH": str(ROOT), "SYNTHLOOM_DATA": str(made / "data"), "SYNTHLOOM_CWD": str(made), "SYNTHLOOM_PORT": "0",
        "SYNTHLOOM_PAGES_PORT": "0", "SYNTHLOOM_LEASES": str(made / "leases"), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        patch.delenv("PREFECT_API_URL", raising=False)
        _finished_run(made / "data")
        _sounds(made / "my_sounds")
        finished = typed(made, "./run.sh publish last --as mine")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        yield made


def typed(folder, text):
    """Let a shell do what is typed."""
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", text], cwd=folder, env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )


def _finished_run(root):
    """Make a small dataset by the real stages, and the record of a run that ended with it."""
    from core import runs
    from core.devices import Device
    from core.engine import Engine
    from core.graph import Graph
    from core.keys import FileDigests
    from core.store import Store
    from flows.datasets import Dataset, prepared_dataset
    from tasks.prepare import spec as prepare
    from tasks.synthesize_demo import spec as synthesize_demo

    root.mkdir()
    small = synthesize_demo.Settings(train_per_class=1, val_per_class=1, test_per_class=1, duration_s=0.5)
    graph = Graph(FileDigests(root / "digests.json"))
    clips = prepared_dataset(graph, Dataset("demo", synthesize=small, prepare=prepare.Settings(split_column="split")), root)
    engine, began = Engine(Store(root), [Device("cpu", 0, "cpu-0", "test", 8000)]), time.time()
    for step in graph:
        engine.run(step)
    steps = [{"label": step.label, "stage": step.stage.name, "output": step.output} for step in graph]
    record = runs.Run(
        "20261121-090000-synthio-demo", "synthio", "synthio · demo", "./run.sh", began, steps, clips, "completed", time.time()
    )
    record.extra["exports"] = [clips]
    runs.save(root, record)


def _sounds(folder):
    from core import audio

    rng = np.random.default_rng(1)
    for name in ("rain/001", "rain/002", "dog/001"):
        audio.write(folder / f"{name}.wav", (0.1 * rng.standard_normal(8000)).astype(np.float32), 16_000)
    (folder / "ATTRIBUTION.csv").write_text("file,author,licence\nrain/001.wav,me,CC0\n")
