"""The whole delsa flow at toy size: a real server, real children, rooms simulated, the page with scenes to listen to."""

import json
from pathlib import Path

import pytest

from core import audio
from tests.integration.conftest import command, finished_run

TOY = [
    "dataset.synthesize.train_per_class=3", "dataset.synthesize.val_per_class=2", "dataset.synthesize.test_per_class=2",
    "dataset.synthesize.duration_s=1.0", "simulate_rooms.train.count=8", "simulate_rooms.val.count=4",
    "simulate_rooms.test.sampling=random", "simulate_rooms.test.count=4", "simulate_rooms.max_images=2000",
    "simulate_rooms.max_length_s=0.6",
    "train_spatial.duration_s=0.9",
    "train_spatial.steps=3", "train_spatial.batch_sources=4", "train_spatial.batch_spaces=4", "train_spatial.look_sources=4",
    "train_spatial.look_spaces=4", "evaluate_spatial.sources=4", "evaluate_spatial.spaces=4", "report_spatial.max_scenes=3",
    "shown_responses=1", "shards=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def spaces(world):
    """The data root, the environment and what the run printed."""
    return finished_run(world, "delsa", *TOY)


def test_run_prints_retrieval_beside_chance_and_leaves_the_page(spaces):
    root, _, output = spaces
    assert "delsa · demo · 1 model × 1 seed" in output and "X-SPA" in output and "× chance" in output and "direction, °" in output
    page = Path(next(line for line in output.splitlines() if line.startswith("page to look")).split()[-1])
    text = page.read_text()
    assert text.count("<audio") == 6 and "Zero-shot attributes" in text and "energy decay" in text and root in page.parents
    assert "direction told by the model" in text, "scored scenes are shown"
    assert audio.read(page.parent / "scenes/01-stereo.flac")[0].shape[0] == 2
    measures = {row["measure"] for row in json.loads((page.parent / "scores.json").read_text())}
    assert {"retrieval/SRC/text_to_audio/excess@1", "physical/direction_deg/median", "swap/items"} <= measures


def test_other_weights_of_the_losses_simulate_no_room_again(spaces):
    _, environment, _ = spaces
    steps = json.loads(command(environment, "plan", "delsa", "--json", *TOY, "models.without physics.physical_weight=0").stdout)["steps"]
    pending = [step["label"] for step in steps if step["state"] != "up to date"]
    assert pending == ["train_spatial without physics, seed 42", "evaluate_spatial without physics, seed 42", "report_spatial"]
