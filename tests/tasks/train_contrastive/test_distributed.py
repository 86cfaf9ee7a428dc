"""Two real ranks with gloo against one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.train_contrastive import recipe
from tasks.train_contrastive.spec import Settings
from tests.tasks.train_contrastive.on_ranks import normalised
from tests.tasks.train_contrastive.runs import train

ROOT = Path(__file__).resolve().parents[3]
HELPER = Path(__file__).with_name("on_ranks.py")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder in which two ranks have left what they found."""
    folder = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if not list(Path(torch.__file__).with_name("__pycache__").glob("*.pyc")):
        environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode"))}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(HELPER), str(folder)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_network_batch_normalisation_and_loss_over_ranks_are_those_of_one_process(two):
    expected = normalised()
    for number in range(2):
        found = torch.load(two / f"norm-{number}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for name, part in expected.items():
            assert torch.allclose(found[name].double(), part.double(), atol=1e-10, rtol=1e-9), name


def test_two_ranks_give_the_training_of_one(two, tmp_path):
    result, output = train(tmp_path, epochs=1, optimizer="sgd")
    expected = to_dict(result)
    curves = [json.loads((folder / "curves.json").read_text()) for folder in (output, two / "stages/train_contrastive/two")]
    losses, saturation = (np.array([curve[name] for curve in curves])[..., 1] for name in ("loss", "saturation"))
    assert np.allclose(saturation[0], saturation[1], atol=1e-12), "the same pairs"
    assert np.allclose(losses[0, :2], losses[1, :2], atol=1e-5)
    # In float32, six pairs and four channels, rounding grows a thousandfold in a step; in float64 nothing does, see above.
    assert np.allclose(losses[0], losses[1], atol=0.01)
    for number in range(2):
        found = json.loads((two / f"result-{number}.json").read_text())
        assert found.keys() == expected.keys() and found["steps"] == expected["steps"] and found["pairs"] == expected["pairs"]
        assert [found[name] for name in ("loss", "align", "uniform", "spread")] == pytest.approx(
            [expected[name] for name in ("loss", "align", "uniform", "spread")], abs=0.05
        )
    assert not (two / "stages/train_contrastive/two/checkpoint.pt").exists()


def test_no_thread_of_gloo_outlives_the_group(two):
    for number in range(2):
        threads = json.loads((two / f"threads-{number}.json").read_text())
        assert not [name for name in threads if "gloo" in name], "a group that something still holds is not taken down"


def test_a_batch_that_cannot_be_dealt_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(recipe, "world", lambda: 2)
    assert recipe.plan(Settings(batch_pairs=8)).batch_pairs == 8
    with pytest.raises(InvalidValueError, match="multiple of 2"):
        recipe.plan(Settings(batch_pairs=7))
