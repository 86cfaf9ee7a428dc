"""Two real ranks with gloo against one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.errors import InvalidValueError
from tasks.spatial_model.sizes import CPU
from tasks.train_spatial import recipe
from tasks.train_spatial.spec import Settings
from tests.tasks.train_spatial.on_ranks import stepped
from tests.tasks.train_spatial.scenery import scenery

ROOT = Path(__file__).resolve().parents[3]
HELPER = Path(__file__).with_name("on_ranks.py")


def test_two_ranks_give_the_training_of_one(tmp_path):
    scenery(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if not list(Path(torch.__file__).with_name("__pycache__").glob("*.pyc")):
        environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode")}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(HELPER), str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = stepped(tmp_path, "one")
    for number in range(2):
        found = torch.load(tmp_path / f"rank-{number}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for name, part in expected.items():
            # The contrast itself and its gathered labels are float32 and exact numbers.
            assert torch.allclose(found[name].double(), part.double(), atol=2e-5, rtol=2e-4), name


def test_a_batch_that_cannot_be_dealt_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(recipe, "world", lambda: 2)
    assert recipe.plan(Settings(batch_sources=4), 9, 9, CPU, "cpu").batch_sources == 4
    with pytest.raises(InvalidValueError, match="multiple of 2"):
        recipe.plan(Settings(batch_sources=3), 9, 9, CPU, "cpu")
