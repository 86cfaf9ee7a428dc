"""The synthio study at toy size, run once for all tests of this folder: it takes more than a minute."""

import os
import subprocess
import sys

import pytest

from tests.house import ROOT

TOY = [
    "num_samples=20", "training_seeds=[1]", "shards=2", "dataset.synthesize.train_per_class=3", "dataset.synthesize.val_per_class=2",
    "dataset.synthesize.test_per_class=2", "dataset.synthesize.duration_s=1.0", "pretraining.count=24", "pretraining.duration_s=1.0",
    "train_text_to_audio.autoencoder_steps=4", "train_text_to_audio.diffusion_steps=4", "train_text_to_audio.width=64",
    "train_text_to_audio.depth=1", "models.tuned.align.steps=3", "models.aligned.align.steps=3", "models.aligned.losers.steps=2",
    "models.aligned.losers.num_iters=1", "generators.vanilla.generate.steps=2", "generators.vanilla.generate.num_iters=1",
    "generators.synthio.rounds=2", "generators.synthio.generate.steps=2", "generators.synthio.generate.num_iters=2", "train_clap.steps=4",
    "train_ast.steps=4", "train_ast.evaluate_every=2", "generators.synthio.pool=named", "generators.synthio.generate.init_pool=0.5",
]  # fmt: skip


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A data root with a server of its own, stopped in the end."""
    folder = tmp_path_factory.mktemp("study")
    settings = {
        "PYTHONPATH": str(ROOT),
        "SYNTHLOOM_DATA": str(folder / "data"),
        "SYNTHLOOM_PORT": "0",
        "SYNTHLOOM_PAGES_PORT": "0",
        "SYNTHLOOM_LEASES": str(folder / "leases"),
    }
    environment = {**{name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}, **settings}
    yield folder, environment
    command(environment, "down")


def command(environment, *words):
    """Run ``./run.sh``'s command line."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800, check=False
    )


def finished_run(world, *words):
    """Run a flow to its end; returns the data root, the environment and what it printed."""
    folder, environment = world
    finished = command(environment, *words)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder / "data", environment, finished.stdout


@pytest.fixture(scope="session")
def study(world):
    """The data root of a finished study, its environment, and what the run printed."""
    return finished_run(world, "synthio", *TOY)
