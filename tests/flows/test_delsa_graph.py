"""The graph of a study of spatial models: rooms and clips shared by all trainings, presets that resolve, what is refused."""

import pytest

from core import config, keys
from core.errors import InvalidValueError
from flows.delsa import graph


def steps(tmp_path, *words):
    resolved = config.resolve(graph.CONFIG, "delsa", list(words))
    plan = graph.build_graph(resolved, keys.FileDigests(tmp_path / "digests.json"), cwd=tmp_path, command="./run.sh delsa")
    return plan, [step.label for step in plan.graph], resolved


def of(plan, stage):
    return [step.request for step in plan.graph if step.stage.name == stage]


def test_every_model_and_seed_is_trained_on_the_same_clips_and_rooms(tmp_path):
    words = ["models.without physics.physical_weight=0", "training_seeds=[1,2]"]
    plan, labels, _ = steps(tmp_path, *words)
    trained = of(plan, "train_spatial")
    assert [(one.seed, one.settings.physical_weight) for one in trained] == [(1, 1.0), (2, 1.0), (1, 0.0), (2, 0.0)]
    (rooms,) = [step.output for step in plan.graph if step.stage.name == "simulate_rooms"]
    assert {one.catalogue for one in [*trained, *of(plan, "evaluate_spatial")]} == {rooms}
    assert {one.clips for one in [*trained, *of(plan, "evaluate_spatial")]} == set(plan.exports)
    page = plan.graph[plan.report].request
    assert [(run.model, run.seed) for run in page.runs] == [("delsa", 1), ("delsa", 2), ("without physics", 1), ("without physics", 2)]
    assert page.catalogue == rooms and page.pictures.startswith("stages/plot_rooms/") and page.scenes.startswith("stages/spatialise/")
    assert "evaluate_spatial without physics, seed 2" in labels and plan.title == "delsa · demo · 2 models × 2 seeds"
    another, _, _ = steps(tmp_path, *words, "report_spatial.max_scenes=2")
    assert {step.output for step in another.graph} ^ {step.output for step in plan.graph} == {another.report, plan.report}


def test_every_model_is_scored_on_real_recordings_where_there_are_some(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/recordings.csv").write_text("file,azimuth_deg,elevation_deg\n")
    plan, _, _ = steps(tmp_path, "recordings=real", "training_seeds=[1,2]")
    assert [one.recordings for one in of(plan, "evaluate_spatial")] == [str(tmp_path / "real")] * 2
    with pytest.raises(InvalidValueError, match="recordings"):
        steps(tmp_path, "recordings=nowhere")


def test_scenes_to_listen_to_are_held_out_and_can_be_listed_or_left_out(tmp_path):
    (tmp_path / "sources.csv").write_text("clip_id\nabc\n")
    plan, _, _ = steps(tmp_path, "grid_sources=sources.csv", "caption_scenes.pairing=grid")
    (captions,) = of(plan, "caption_scenes")
    assert captions.settings.split == "test" and captions.sources == str(tmp_path / "sources.csv") and not captions.spaces
    assert of(plan, "spatialise")[0].scenes.startswith("stages/caption_scenes/")
    without, _, _ = steps(tmp_path, "scenes=false")
    assert not of(without, "caption_scenes") and not without.graph[without.report].request.scenes


def test_a_branch_is_trained_first_once_for_each_seed(tmp_path):
    plan, labels, _ = steps(tmp_path, "pretrain_branch=true", "attributes.epochs=2", "models.other.batch_spaces=4")
    assert labels.count("train_spatial attributes, seed 42") == 1
    first, *models = of(plan, "train_spatial")
    assert (first.settings.task, first.settings.epochs) == ("attributes", 2)
    assert {one.branch for one in models} == {next(step.output for step in plan.graph if step.request is first)}
    assert [one.settings.task for one in models] == ["contrast"] * 2


def test_responses_of_others_take_the_place_of_simulated_ones(tmp_path):
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured/rirs.csv").write_text("file\n")
    plan, _, _ = steps(tmp_path, "responses=measured", "import_rirs.split=by_room", "import_rirs.azimuth_sign=right_positive")
    (taken,) = of(plan, "import_rirs")
    assert taken.source == str(tmp_path / "measured") and taken.settings.azimuth_sign == "right_positive" and not of(plan, "simulate_rooms")
    assert all(one.catalogue.startswith("stages/import_rirs/") for one in of(plan, "train_spatial"))


def audiocaps(tmp_path):
    folder = tmp_path / "audiocaps"
    folder.mkdir()
    tables = {"csv": "train.csv", "val_csv": "val.csv", "test_csv": "test.csv"}
    for name in tables.values():
        (folder / name).write_text("audiocap_id,caption\n")
    return ["captioned.root=audiocaps", *(f"captioned.{name}=audiocaps/{table}" for name, table in tables.items())]


def test_published_sizes_and_published_conventions(tmp_path):
    words = audiocaps(tmp_path)
    plan, _, _ = steps(tmp_path, "preset=paper", *words)
    _, training = of(plan, "train_spatial")
    assert (training.settings.preset, training.settings.compat) == ("paper", False) and training.htsat == "laion/clap-htsat-fused"
    assert of(plan, "simulate_rooms")[0].settings.sample_rate_hz == 48_000 and not of(plan, "prepare")
    (clips,) = of(plan, "prepare_sources")
    assert clips.test_csv == str(tmp_path / "audiocaps/test.csv") and plan.name == "audiocaps"
    (tmp_path / "released.pt").write_bytes(b"weights")
    released = "models.released={checkpoint: released.pt, roberta: FacebookAI/roberta-base, train: false}"
    plan, _, _ = steps(tmp_path, "preset=disse", *words, released)
    trained = {step.label: step.request for step in plan.graph if step.stage.name == "train_spatial"}
    one = trained["train_spatial released, seed 42"]
    assert one.checkpoint == str(tmp_path / "released.pt") and not one.settings.train and one.settings.compat
    assert of(plan, "simulate_rooms")[0].settings.disse_compat and of(plan, "caption_scenes")[0].settings.disse_compat
    assert {request.settings.ties for request in of(plan, "evaluate_spatial")} == {"optimistic"}


def test_the_goal_on_two_cores_has_enough_responses(tmp_path):
    root = tmp_path / "clips"
    root.mkdir()
    (root / "esc10.csv").write_text("path,label,fold\n")
    plan, _, _ = steps(tmp_path, "preset=cpu", "dataset=esc10", f"dataset.root={root}")
    settings = of(plan, "simulate_rooms")[0].settings
    sizes = {"random": 1, "quota_full": 96, "quota_all": 405}
    counted = [one.count * sizes[one.sampling] for one in (settings.train, settings.val, settings.test)]
    assert sum(counted) >= 500 and of(plan, "train_spatial")[0].settings.preset == "cpu" and settings.sample_rate_hz == 16_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["models.delsa.physical_wait=0"], "physical_weight"),
        (["models.delsa.task=attributes"], "is no model"),
        (["models.delsa.checkpoint=a.pt"], "its tokenizer is missing"),
        (["models.delsa.branch=nowhere.pt"], "no such file or folder"),
        (["models.delsa.branch=a", "pretrain_branch=true"], "two beginnings"),
        (["models.delsa.htsat=3"], "no name"),
        (["responses=nowhere"], "no such file or folder"),
        (["responses=a", "geometry=b.csv"], "two sources of rooms"),
        (["geometry=b.csv"], "no such file"),
        (["captioned.root=a", "dataset.root=b"], "two datasets"),
        (["training_seeds=[1,1]"], "something twice"),
        (["training_seeds=[]"], "empty"),
    ],
)
def test_what_leads_nowhere_is_refused_before_anything_starts(tmp_path, words, message):
    with pytest.raises(InvalidValueError, match=message):
        steps(tmp_path, *words)


def test_a_model_is_trained_on_a_mixture_of_sources_and_scored_on_the_datasets_own_clips(tmp_path):
    plan, _, _ = steps(tmp_path, "models={delsa: {}, noisy: {sources: [gold, noise, dexed], weights: {gold: 3}}}")
    gold, mixture = of(plan, "mix_clips")
    (clips,) = plan.exports
    assert gold.sources[0].folders == (clips,) and mixture.evaluation == clips and mixture.held_out, "held-out clips are the dataset's"
    assert [(one.name, one.weight) for one in mixture.sources] == [("gold", 3.0), ("noise", 1.0), ("dexed", 1.0)]
    (noisy,) = of(plan, "augment")
    assert noisy.clips.startswith("stages/mix_clips/"), "train clips alone are altered"
    plain, mixed = of(plan, "train_spatial")
    assert (
        plain.clips == clips
        and mixed.clips.startswith("stages/mix_clips/")
        and {one.clips for one in of(plan, "evaluate_spatial")} == {clips}
    )
    with pytest.raises(InvalidValueError, match="unknown source"):
        steps(tmp_path, "models={delsa: {sources: [silver]}}")
