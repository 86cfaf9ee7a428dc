"""The whole synth_proxy flow at toy size: a real server, real children, a synthesiser in processes of its own, the page with sounds."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import command, finished_run

TOY = [
    "preset=smoke", "synth.name=dexed", "train.n=32", "val.n=12", "test.n=16", "shards=1", "encoders.MLP-OH.sizes.hidden=32",
    "encoders.HN-OH=null", "encoders.TFM-modules=null", "train_preset_encoder.batch_presets=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def proxies(world):
    """The data root, the environment and what the run printed."""
    return finished_run(world, "synth_proxy", *TOY)


def test_run_prints_the_scores_and_leaves_the_page(proxies):
    root, _, output = proxies
    assert "synth_proxy · dexed · 32 presets · 1 encoder × 1 seed" in output and "chosen by its validation rankings" in output
    page = Path(next(line for line in output.splitlines() if line.startswith("page to look")).split()[-1])
    text = page.read_text()
    assert text.count("<audio") == 2 * 3 and "Presets nearest to a sound" in text and "preset=smoke" in text and root in page.parents
    files = [part.split('"')[0] for part in text.split('src="')[1:]]
    assert len(files) == 7 and all((page.parent / name).stat().st_size > 100 for name in files)
    rows = json.loads((page.parent / "scores.json").read_text())
    assert [row["encoder"] for row in rows if row["table"] == "One against all"] == ["MLP-OH", "chance"]
    assert "deterministic" in text and str(root) not in text


def test_another_encoder_renders_nothing_again(proxies):
    _, environment, _ = proxies
    more = "encoders={small: {model: hn_oh, sizes: {hidden: 16}}}"
    steps = json.loads(command(environment, "plan", "synth_proxy", "--json", *TOY, more).stdout)["steps"]
    pending = {step["label"] for step in steps if step["state"] != "up to date"}
    assert pending == {"train_preset_encoder small, seed 1", "evaluate_preset_encoder small, seed 1", "report_presets"}
