"""The whole syntone flow at toy size: a real server, real children in every environment, the page, the scores, the published file."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import command, finished_run

TOY = [
    "num_freqs=12", "num_amps=4", "amp_start=0.25", "shards=2", "epochs=2", "batch_size=32", "latent_dim=4", "methods=[vae,factor_vae]",
    "training_seeds=[1,2]", "classify_waveform.steps=4", "classify_waveform.evaluate_every=2", "num_experiments=2",
    "evaluate_disentanglement.repeats=1", "plot_latents.griffin_lim_iterations=2", "plot_latents.gif_samples=4", "plot_latents.samples=2",
    "plot_latents.steps=4", "synthesize_grid.npz=plain",
]  # fmt: skip


@pytest.fixture(scope="module")
def tones(world, tmp_path_factory):
    """The data root, the environment and what the run printed; the grid is taken out, too."""
    out = tmp_path_factory.mktemp("grid") / "out"
    return *finished_run(world, "syntone", *TOY, f"export_to={out}"), out


def test_run_prints_the_ranking_and_leaves_the_page_and_tables(tones):
    root, _, output, out = tones
    assert "syntone · tones · 192 clips · 2 methods × 2 seeds" in output and "MIG" in output and "random codes" in output
    page = Path(next(line for line in output.splitlines() if line.startswith("page to look")).split()[-1])
    text = page.read_text()
    assert "./run.sh syntone" in text and "FactorVAE" in text and "audio" in text
    for name in ("scores.csv", "scores.json", "scores.md", "scores.tex"):
        assert (page.parent / name).stat().st_size > 100, name
    assert str(out) in output and (out / "README.md").is_file() and len(list((out / "clips").iterdir())) == 2
    with np.load(out / "dataset.npz", allow_pickle=False) as file:
        assert file["x"].shape == (192, 16000) and set(np.unique(file["y"])) == {0, 1, 2, 3}
    assert root in page.parents


def test_second_run_finds_everything_up_to_date(tones):
    _, environment, _, out = tones
    again = command(environment, "syntone", *TOY, f"export_to={out}")
    assert again.returncode == 0 and "everything is up to date" in again.stdout and "already" in again.stdout


def test_another_seed_trains_once_more_and_keeps_the_rest(tones):
    _, environment, _, _ = tones
    words = [word if not word.startswith("training_seeds") else "training_seeds=[1,2,3]" for word in TOY]
    steps = json.loads(command(environment, "plan", "syntone", "--json", *words).stdout)["steps"]
    pending = [step["label"] for step in steps if step["state"] != "up to date"]
    assert [label for label in pending if label.startswith("train_vae")] == ["train_vae vae, seed 3", "train_vae factor_vae, seed 3"]
    assert not [label for label in pending if label.startswith(("synthesize", "featurise", "classify", "plot"))]


def test_export_of_single_clips_says_how_a_grid_leaves(tones, tmp_path):
    _, environment, _, _ = tones
    refused = command(environment, "export", "last", "--to", "csv", "--output", str(tmp_path / "x"))
    assert refused.returncode != 0 and "export_to=FOLDER" in refused.stderr + refused.stdout and not (tmp_path / "x").exists()
