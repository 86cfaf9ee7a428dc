"""The graph of a SynTone study: every method and seed once, shared work once, published flags taken."""

from pathlib import Path

import pytest

from core import config, keys
from core.errors import InvalidValueError
from flows.syntone import graph
from flows.syntone.handover import finish


def steps(tmp_path, *words):
    resolved = config.resolve(graph.CONFIG, "syntone", graph.translate(words))
    plan = graph.build_graph(resolved, keys.FileDigests(tmp_path / "digests.json"), cwd=tmp_path, command="./run.sh syntone")
    return plan, [step.label for step in plan.graph], resolved


def test_every_method_and_seed_is_trained_and_scored_and_the_first_seed_is_shown(tmp_path):
    plan, labels, resolved = steps(tmp_path)
    assert resolved.synthesize_grid.clips == 4000, "the published README's set"
    pairs = [f"{method}, seed {seed}" for method in ("vae", "beta_vae", "beta_tcvae", "factor_vae") for seed in (1, 2, 3)]
    for stage in ("train_vae", "evaluate_disentanglement"):
        assert [label.removeprefix(f"{stage} ") for label in labels if label.startswith(stage)] == pairs
    assert sum(label.startswith("plot_latents") for label in labels) == 4
    page = plan.graph[plan.report].request
    assert [bool(run.pictures) for run in page.runs] == [True, False, False] * 4 and page.classifier
    scores = plan.graph[page.runs[0].scores].request
    assert set(scores.siblings) == {run.model for run in page.runs[1:3]}, "the other seeds of the same method"
    trained = [plan.graph[run.model].request for run in page.runs]
    assert len({request.features for request in trained}) == 1 and [request.method for request in trained[::3]] == list(resolved.methods)


def test_baselines_are_scored_once_for_all_models_of_one_size(tmp_path):
    plan, labels, _ = steps(tmp_path, "methods=[vae,beta_vae,factor_vae]", "training_seeds=[1,2]", "method_settings.factor_vae.latent=5")
    assert [label for label in labels if label.startswith("baselines")] == ["baselines of 8 codes", "baselines of 5 codes"]
    for run in plan.graph[plan.report].request.runs:
        shared = plan.graph[plan.graph[run.scores].request.baselines].request
        assert shared.baseline == "random" and shared.settings.dimensions == (5 if run.method == "factor_vae" else 8)
        assert shared.features == plan.graph[run.model].request.features


def test_method_is_chosen_by_name_whatever_its_place(tmp_path):
    plan, _, _ = steps(tmp_path, "methods=[factor_vae]", "training_seeds=[7]", "method_settings.factor_vae.epochs=3", "classify=false")
    run = plan.graph[plan.report].request.runs[0]
    request = plan.graph[run.model].request
    assert (request.method, request.seed, request.settings.epochs) == ("factor_vae", 7, 3)
    alone = {step.output for step in plan.graph if step.stage.name == "train_vae"}
    other, _, _ = steps(tmp_path, "methods=[vae,factor_vae]", "training_seeds=[7,8]", "method_settings.factor_vae.epochs=3")
    assert alone < {step.output for step in other.graph}, "the same training, whatever stands beside it"


def test_published_flags_mean_the_same(tmp_path):
    words = ["--sample_rate=8000", "freq_start=200", "freq_end=3000", "num_freqs=5", "amp_start=0.2", "amp_end=0.8", "num_amps=3"]
    _, _, resolved = steps(tmp_path, *words, "batch_size=16", "epochs=2", "--latent_dim=4", "num_experiments=5")
    grid = resolved.synthesize_grid
    assert (grid.sample_rate_hz, grid.freq_start_hz, grid.freq_end_hz, grid.num_freqs) == (8000, 200, 3000, 5)
    assert (grid.amp_start, grid.amp_end, grid.num_amps, grid.clips) == (0.2, 0.8, 3, 60)
    assert (resolved.train_vae.batch_clips, resolved.train_vae.epochs, resolved.train_vae.latent) == (16, 2, 4)
    assert resolved.evaluate_disentanglement.legacy_repeats == 5


def test_presets_are_the_paper_and_its_conventions(tmp_path):
    _, _, paper = steps(tmp_path, "preset=paper")
    assert paper.synthesize_grid.clips == 32_000 and paper.synthesize_grid.freq_start_hz == 440.0
    _, _, legacy = steps(tmp_path, "preset=legacy")
    assert legacy.train_vae.legacy and legacy.featurise.legacy_split and legacy.featurise.normalisation == "legacy_frame_max"
    assert legacy.synthesize_grid.legacy_time_axis


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["methods=[vae, betavae]"], "no such method"),
        (["methods=[vae, vae]"], "something twice"),
        (["training_seeds=[]"], "empty"),
        (["method_settings.vae.beta=4"], "a VAE has β = 1"),
        (["method_settings.vae.nothing=4"], "unknown key"),
        (["source=missing.npz"], "no such file"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path, words, message):
    with pytest.raises(InvalidValueError, match=message):
        steps(tmp_path, *words)


def test_grid_is_handed_over_once_and_never_over_other_files(tmp_path):
    class Store:
        root = tmp_path / "data"

    plan, _, resolved = steps(tmp_path, f"export_to={tmp_path / 'out'}")
    made = Store.root / next(step.output for step in plan.graph if step.stage.name == "synthesize_grid")
    made.mkdir(parents=True)
    (made / "grid.json").write_text("{}")
    (made / "README.md").write_text("a card")
    assert "grid →" in finish(resolved, plan, Store) and (tmp_path / "out" / "README.md").read_text() == "a card"
    assert "already" in finish(resolved, plan, Store)
    (tmp_path / "out" / "grid.json").write_text("something else")
    assert "holds other files" in finish(resolved, plan, Store) and (tmp_path / "out" / "grid.json").read_text() == "something else"
    assert finish(config.resolve(graph.CONFIG, "syntone", []), plan, Store) == "" and Path(made).is_dir()
