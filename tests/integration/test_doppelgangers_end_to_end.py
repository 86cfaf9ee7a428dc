"""The whole doppelgangers flow at toy size: a real server, real children, the page with pairs to listen to."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import command, finished_run

TOY = [
    "dataset.synthesize.train_per_class=3", "dataset.synthesize.val_per_class=2", "dataset.synthesize.test_per_class=2",
    "dataset.synthesize.duration_s=1.0", "shards=2", "general.epochs=1", "data.batch_size=8", "data.max_n=40",
    "train_contrastive.width=8", "train_contrastive.precision=float32", "general.max_audio_log_n=2", "data.synthetic.delta=0.1",
    "measured_pairs=8", "proxies=[parameters]", "parameter_sounds.n=24", "general.use_tensorboard=true",
]  # fmt: skip


@pytest.fixture(scope="module")
def twins(world):
    """The data root, the environment and what the run printed."""
    return finished_run(world, "doppelgangers", *TOY)


def test_run_prints_every_encoder_and_leaves_the_page(twins):
    root, _, output = twins
    assert "doppelgangers · demo · 1 encoder × 1 seed" in output and "linear" in output and "knn" in output and "chance" in output
    page = Path(next(line for line in output.splitlines() if line.startswith("page to look")).split()[-1])
    text = page.read_text()
    assert text.count("<audio") == 4 and "Twins to listen to" in text and "general.epochs=1" in text and root in page.parents
    scores = {row["encoder"] for row in json.loads((page.parent / "scores.json").read_text())}
    assert scores == {"doppelgangers", "random", "mel", "chance"}
    assert "Parameters of the synthesiser" in text and "halves of the real clips" in text
    assert list(root.glob("stages/train_contrastive/*/tensorboard/events.out.tfevents.*"))


def test_another_probe_trains_and_embeds_nothing_again(twins):
    _, environment, _ = twins
    steps = json.loads(command(environment, "plan", "doppelgangers", "--json", *TOY, "probes=[linear,knn,arch]").stdout)["steps"]
    pending = {step["label"].split()[0] for step in steps if step["state"] != "up to date"}
    assert pending == {"probe", "report_probes"}
