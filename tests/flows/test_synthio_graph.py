"""The graph of a study: what is made for which arms, and nothing for the rest."""

from dataclasses import replace
from pathlib import Path

import pytest

from core import config, keys
from core.errors import InvalidValueError
from flows.synthio import graph


def steps(tmp_path, *words):
    resolved = config.resolve(graph.CONFIG, "synthio", list(words))
    plan = graph.build_graph(resolved, keys.FileDigests(tmp_path / "digests.json"), cwd=Path(), command="./run.sh synthio")
    return plan, [step.label for step in plan.graph]


def test_only_what_an_arm_needs_is_made(tmp_path):
    _, default = steps(tmp_path)
    assert not [label for label in default if label.startswith(("augment", "retrieve"))]
    _, labels = steps(tmp_path, "preset=table")
    assert {label for label in labels if label.startswith("augment")} == {"augment noise", "augment pitch", "augment chain", "augment room"}
    assert set(default) < set(labels)
    _, classical = steps(tmp_path, "arms=[{name: gold, sources: [gold]}, {name: noisy, sources: [gold, noise]}]", "measures=false")
    assert not [label for label in classical if "text_to_audio" in label or "clap" in label]


def test_an_ablation_of_the_table_differs_from_synthio_in_one_part_whatever_synthio_is():
    words = ["dataset=esc10", "preset=esc10,table", "generators.synthio.generate.num_iters=7"]
    generators = config.resolve(graph.CONFIG, "synthio", words).generators
    synthio = generators["synthio"]
    assert synthio.pool == "named" and synthio.generate.num_iters == 7
    assert generators["erm"] == replace(synthio, model="tuned") and generators["no_dpo"] == replace(synthio, model="base")
    assert generators["no_mixcap"] == replace(synthio, captions="plain") and generators["template"] == replace(synthio, captions="template")
    assert generators["no_reflection"] == replace(synthio, rounds=1)


def test_every_arm_and_seed_is_one_training_and_equal_work_is_shared(tmp_path):
    plan, labels = steps(tmp_path, "preset=table", "training_seeds=[1,2,3]")
    assert sum(label.startswith("train_ast") for label in labels) == 18 * 3
    assert labels[-1] == "report" and len(labels) == len(set(labels)) and len(plan.graph) == len(labels)


def test_another_name_of_an_arm_is_no_other_training(tmp_path):
    def trainings(name, *more):
        plan, _ = steps(tmp_path, f"arms=[{{name: {name}, sources: [gold, chain]}}]", "measures=false", *more)
        return [(run.seed, run.path) for run in plan.graph[plan.report].request.arms]

    assert trainings("altered") == trainings("audiomentations") != trainings("altered", "train_ast.steps=7")


def test_unknown_and_ambiguous_sources_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="unknown source"):
        steps(tmp_path, "arms=[{name: x, sources: [gold, nothing]}]")
    with pytest.raises(InvalidValueError, match="name used twice"):
        steps(tmp_path, "augmenters.vanilla.method=room")


def test_matrix_of_sizes_and_draws_shares_what_is_equal(tmp_path):
    arms = "arms=[{name: gold only, sources: [gold]}, {name: Synthio, sources: [gold, synthio]}]"
    plan, labels = steps(tmp_path, arms, "num_samples=[20,50]", "draw_seed=[0,1,2]")
    assert sum(label.startswith("stratify") for label in labels) == 6 and labels.count("train_text_to_audio") == 1
    assert sum(label.startswith("train_ast") for label in labels) == 2 * 6 * 2
    assert sum(label.startswith("measure_synthetic") for label in labels) == 2, "the first draw of each size"
    request = plan.graph[plan.report].request
    assert {(run.num_samples, run.draw) for run in request.arms} == {(size, draw) for size in (20, 50) for draw in (0, 1, 2)}
    one, _ = steps(tmp_path, arms, "num_samples=20", "draw_seed=1")
    assert {step.output for step in one.graph} - {step.output for step in plan.graph} == {
        step.output for step in one.graph if step.stage.name in ("report", "measure_synthetic")
    }


def test_self_reflection_generates_again_what_was_rejected(tmp_path):
    plan, _ = steps(tmp_path, "generators.synthio.rounds=3")
    rounds = [plan.graph[f"{step.output}"].request for step in plan.graph if step.label.startswith("generate synthio")]
    assert [request.round for request in rounds] == [0, 1, 2] and rounds[0].clips == rounds[1].gold == rounds[2].gold
    revised = [step for step in plan.graph if step.stage.name == "revise_captions"]
    assert [len(step.request.rounds) for step in revised] == [1, 2] and [step.output for step in revised] == [r.clips for r in rounds[1:]]
    arm = next(step.request for step in plan.graph if step.label.startswith("train_ast Synthio"))
    assert len(arm.train) == 4 and all("clap_filter" in folder for folder in arm.train[1:])
    _, once = steps(tmp_path, "generators.synthio.rounds=1")
    assert not [label for label in once if label.startswith("revise_captions")]


def test_preference_rounds_are_made_by_the_model_of_the_round_before(tmp_path):
    words = ["models.aligned.rounds=2", "models.aligned.pairs.method=crpo", "models.aligned.losers.num_iters=8"]
    plan, _ = steps(tmp_path, *words)
    aligned = [step for step in plan.graph if step.label.startswith("align_text_to_audio aligned")]
    losers = [step.request for step in plan.graph if step.label.startswith("generate losers")]
    assert [request.model for request in losers] == [aligned[0].request.model, aligned[0].output] and losers[0].settings.seed == 0
    assert aligned[1].request.model == aligned[0].output and losers[1].settings.seed != losers[0].settings.seed
    pairs = [step.request for step in plan.graph if step.stage.name == "make_pairs"]
    assert all("clap_filter" in folder for request in pairs for folder in request.losers)
    ranked, _ = steps(tmp_path, "models.aligned.pairs.method=clap_ranked")
    assert "clap_filter" in next(step.request.gold for step in ranked.graph if step.stage.name == "make_pairs")


def test_arms_have_classifier_settings_of_their_own_that_are_checked(tmp_path):
    plan, _ = steps(tmp_path, "train_ast.steps=33")
    masked = {
        step.request.arm: (step.request.settings.masked_mels, step.request.settings.steps)
        for step in plan.graph
        if step.stage.name == "train_ast"
    }
    assert masked["SpecAugment"] == (24, 33) and masked["Synthio"] == (0, 33)
    with pytest.raises(InvalidValueError, match="masked_mels"):
        steps(tmp_path, "arms=[{name: x, sources: [gold], train_ast: {masked_mel: 3}}]")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["models.tuned.start=aligned"], "circle"), (["generators.synthio.model=alinged"], "aligned"),
        (["generators.synthio.captions=mixcup"], "mixcap"), (["generators.vanilla.rounds=2"], "nothing to reflect on"),
        (["models.base.start=tuned"], "name taken"), (["num_samples=[]"], "empty"),
    ],
)  # fmt: skip
def test_references_that_lead_nowhere_are_refused(tmp_path, words, said):
    with pytest.raises(InvalidValueError, match=said):
        steps(tmp_path, *words)


def test_hub_name_needs_no_folder(tmp_path):
    plan, _ = steps(tmp_path, "train_text_to_audio.pretrained=stabilityai/stable-audio-open-1.0")
    assert next(step for step in plan.graph if step.stage.name == "train_text_to_audio").request.settings.pretrained.startswith(
        "stabilityai/"
    )


def test_turned_folds_let_every_fold_test_once_and_share_the_base_model(tmp_path):
    root = tmp_path / "clips"
    root.mkdir()
    (root / "esc10.csv").write_text("path,label,fold\n")
    words = [
        "dataset=esc10",
        f"dataset.root={root}",
        "draw_seed=[0,1,2,3,4]",
        "arms=[{name: a, sources: [gold]}, {name: b, sources: [gold, vanilla]}]",
    ]
    plan, labels = steps(tmp_path, *words, "turn_folds=true", "measures=false")
    folds = [step.request.settings for step in plan.graph if step.stage.name == "prepare"]
    assert sorted(settings.test_folds for settings in folds) == [("1",), ("2",), ("3",), ("4",), ("5",)]
    assert all(
        sorted([*s.train_folds, *s.val_folds, *s.test_folds]) == ["1", "2", "3", "4", "5"] and len(s.train_folds) == 3 for s in folds
    )
    assert labels.count("train_text_to_audio") == 1 and "folds turned" in plan.title
    trained = {(step.request.evaluation, step.request.gold) for step in plan.graph if step.stage.name == "train_ast"}
    assert len({evaluation for evaluation, _ in trained}) == 5 and len(trained) == 5, "each draw is trained and tested on its own folds"
    still, _ = steps(tmp_path, *words, "measures=false")
    assert len([step for step in still.graph if step.stage.name == "prepare"]) == 1
    with pytest.raises(InvalidValueError, match="nothing to turn"):
        steps(tmp_path, "turn_folds=true")
    with pytest.raises(InvalidValueError, match="turned twice"):
        steps(tmp_path, *words, "turn_folds=true", "turn_held_out=true")


def test_turned_held_out_folds_leave_the_train_folds_alone(tmp_path):
    root = tmp_path / "clips"
    root.mkdir()
    (root / "esc10.csv").write_text("path,label,fold\n")
    plan, _ = steps(tmp_path, "dataset=esc10", f"dataset.root={root}", "draw_seed=[0,1,2]", "turn_held_out=true", "measures=false")
    folds = {
        (s.train_folds, s.val_folds, s.test_folds) for s in (step.request.settings for step in plan.graph if step.stage.name == "prepare")
    }
    assert folds == {(("1", "2", "3"), ("4",), ("5",)), (("1", "2", "3"), ("5",), ("4",))} and "held-out folds turned" in plan.title
    with pytest.raises(InvalidValueError, match="nothing to turn"):
        steps(tmp_path, "turn_held_out=true")


def test_a_contrastive_encoder_is_offered_to_retrieval_filter_and_measures(tmp_path):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder/model.pt").write_bytes(b"weights")
    words = [
        "arms=[{name: gold only, sources: [gold]}, {name: pool, sources: [gold, pool]}, {name: Synthio, sources: [gold, synthio]}]",
        f"encoder={tmp_path / 'encoder'}",
    ]
    plan, _ = steps(tmp_path, *words, "retrievals.pool.retrieve.by=encoder", "clap_filter.score=encoder_rank")
    of = {
        name: [step.request for step in plan.graph if step.stage.name == name]
        for name in ("retrieve", "clap_filter", "measure_synthetic", "stratify")
    }
    gold = next(step.output for step in plan.graph if step.stage.name == "stratify")
    folder = str(tmp_path / "encoder")
    assert [(request.encoder, request.checkpoint) for request in of["retrieve"]] == [(folder, "")]
    assert {(request.encoder, request.gold) for request in of["clap_filter"]} == {(folder, gold)}
    assert {request.encoder for request in of["measure_synthetic"]} == {folder}
    plain, _ = steps(tmp_path, *words)
    filters = [step.request for step in plain.graph if step.stage.name in ("clap_filter", "retrieve")]
    assert filters and all(not request.encoder and request.checkpoint for request in filters), "only where it is asked for"
    with pytest.raises(InvalidValueError, match="needs an encoder"):
        steps(tmp_path, "clap_filter.score=encoder_rank")
    with pytest.raises(InvalidValueError, match="no such file"):
        steps(tmp_path, "encoder=elsewhere")


def test_simulated_rooms_are_a_source_made_for_arms_that_name_it(tmp_path):
    arms = "arms=[{name: gold only, sources: [gold]}, {name: spatial, sources: [gold, spatial]}]"
    plan, _ = steps(tmp_path, arms, "draw_seed=[0,1]", "rooms.spatial.spatialise.per_clip=3", "rooms.spatial.simulate_rooms.train.count=20")
    (rooms,) = [step for step in plan.graph if step.stage.name == "simulate_rooms"]
    assert rooms.request.settings.train.count == 20 and rooms.request.settings.test.count == 0, "the same rooms for both draws"
    copies = [step.request for step in plan.graph if step.stage.name == "spatialise"]
    assert [(one.settings.mode, one.settings.per_clip, one.catalogue) for one in copies] == [("mono", 3, rooms.output)] * 2
    gold = {step.output for step in plan.graph if step.stage.name == "stratify"}
    assert {one.clips for one in copies} == gold, "gold clips only: no validation or test clip is heard in a room"
    trained = [step.request.train for step in plan.graph if step.label.startswith("train_ast spatial")]
    assert all(folders[0] in gold and folders[1].startswith("stages/spatialise/") for folders in trained)
    assert not [label for label in steps(tmp_path)[1] if "rooms" in label]
    with pytest.raises(InvalidValueError, match="four channels"):
        steps(tmp_path, "rooms.spatial.spatialise.mode=foa")


def test_rendered_presets_are_a_pool_and_may_teach_the_base_model(tmp_path):
    arms = "arms=[{name: gold only, sources: [gold]}, {name: presets, sources: [gold, presets]}]"
    plan, labels = steps(tmp_path, arms, "draw_seed=[0,1]", "presets.dexed.render_presets.n=40")
    (rendered,) = [step for step in plan.graph if step.stage.name == "render_presets"]
    settings = rendered.request.settings
    assert (settings.n, settings.synth, settings.split, settings.audio_clips, settings.audio_model) == (40, "dexed", "train", -1, "")
    (clips,) = [step for step in plan.graph if step.stage.name == "preset_clips"]
    (captions,) = [step for step in plan.graph if step.label == "caption presets dexed"]
    assert clips.request.presets == rendered.output and captions.request.clips == clips.output and captions.request.settings.mode == "plain"
    retrieved = [step.request for step in plan.graph if step.stage.name == "retrieve"]
    assert [one.pool for one in retrieved] == [captions.output] * 2, "one pool for both draws"
    assert "train_text_to_audio" not in labels and not [label for label in steps(tmp_path)[1] if "presets" in label]
    taught, _ = steps(tmp_path, "pretrain_on=dexed", "presets.dexed.render_presets.n=40")
    (base,) = [step.request for step in taught.graph if step.stage.name == "train_text_to_audio"]
    assert base.pretraining == captions.output


def test_a_retrieval_may_have_sounds_of_its_own_that_the_base_model_does_not_learn(tmp_path):
    arms = "arms=[{name: gold only, sources: [gold]}, {name: more, sources: [gold, more, synthio]}]"
    words = [arms, "draw_seed=[0,1]", "retrievals.more={sounds: {count: 90, duration_s: 5.0, named_share: 1.0}, retrieve: {by: words}}"]
    plan, _ = steps(tmp_path, *words)
    own, taught = [step for step in plan.graph if step.stage.name == "synthesize_captioned"]
    own, taught = (own, taught) if own.label.endswith("more") else (taught, own)
    assert own.request.settings.count == 90 and taught.request.settings.count == 600
    assert [step.request.pool for step in plan.graph if step.stage.name == "retrieve"] == [own.output] * 2, "one pool for both draws"
    assert {step.request.pretraining for step in plan.graph if step.stage.name == "train_text_to_audio"} == {taught.output}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pretrain_on=dx", "no such presets"), ("retrievals.presets.presets=dx", "no such presets"),
        ("retrievals.presets.root=.", "two pools"), ("retrievals.presets.sounds.count=9", "two pools"),
        ("presets.dexed.render_presets.split=test", "no training sounds"),
        ("presets.dexed.render_presets.plugin=nowhere.vst3", "no such file"),
        ("presets.dexed.render_presets.presets=.", "no training sounds"),
    ],
)  # fmt: skip
def test_pools_of_presets_that_cannot_be_are_refused(tmp_path, word, said):
    with pytest.raises(InvalidValueError, match=said):
        steps(tmp_path, word)


TUNED = (
    "arms=[{name: gold only, sources: [gold]}, {name: mixed, sources: [gold, synthio, spatial], weights: {synthio: 2}, tune: {trials: 7}}]"
)


def test_a_tuned_arm_is_searched_in_waves_once_a_draw_before_all_its_trainings(tmp_path):
    plan, labels = steps(tmp_path, TUNED, "draw_seed=[0,1]", "train_ast.num_devices=2", "train_ast.steps=40")
    waves = [step for step in plan.graph if step.stage.name == "search_mixture"]
    assert [(step.request.first, step.request.shards) for step in waves] == [(0, 4), (4, 3)] * 2, "one search a draw, for both seeds"
    assert [step.request.previous for step in waves] == ["", waves[0].output, "", waves[2].output]
    made, rooms = waves[0].request.sources
    assert (made.name, made.weight, made.filtered, len(made.folders)) == ("synthio", 2.0, True, 3)
    assert (rooms.name, rooms.weight, rooms.filtered) == ("spatial", None, False)
    assert waves[0].request.classifier["steps"] == 40 and "num_devices" not in waves[0].request.classifier
    assert waves[0].request.tried == ("ratio", "threshold")
    trained = [step.request for step in plan.graph if step.stage.name == "train_ast"]
    assert [one.choice for one in trained] == ["", "", waves[1].output, waves[1].output, "", "", waves[3].output, waves[3].output]
    searches = plan.graph[plan.report].request.searches
    assert [(one.arm, one.draw, one.path) for one in searches] == [("mixed", 0, waves[1].output), ("mixed", 1, waves[3].output)]
    assert len(labels) == len(set(labels))
    alone, _ = steps(tmp_path, TUNED, "draw_seed=0", "train_ast.num_devices=1", "train_ast.steps=40")
    assert waves[1].output in {step.output for step in alone.graph}, "devices and other draws have no say in a search"
    more, _ = steps(tmp_path, TUNED.replace("trials: 7", "trials: 12"), "draw_seed=0", "train_ast.steps=40")
    assert [step.output == waves[0].output for step in more.graph if step.stage.name == "search_mixture"] == [True, False, False]


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("{name: x, sources: [gold], tune: {}}", "nothing to try"), ("{name: x, sources: [gold, noise], tune: {ratio: null}}", "nothing"),
        ("{name: x, sources: [gold, noise], weights: {pitch: 1}}", "weights of its sources"),
        ("{name: x, sources: [gold, noise], weights: {gold: 1}}", "gold has no weight"),
        ("{name: x, sources: [gold, noise], tune: {trails: 3}}", "trails"),
        ("{name: x, sources: [gold, dexed]}", "has no labels; retrieve from it"), ("{name: x, sources: [gold, gold]}", "unknown source"),
    ],
)  # fmt: skip
def test_mixtures_and_searches_that_cannot_be_are_refused(tmp_path, arm, said):
    with pytest.raises(InvalidValueError, match=said):
        steps(tmp_path, f"arms=[{arm}]")


def test_a_pool_of_another_dataset_is_a_source_with_its_own_labels(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/clips.csv").write_text("path,label\n")
    arms = "arms=[{name: gold only, sources: [gold]}, {name: more, sources: [gold, more]}]"
    plan, _ = steps(tmp_path, arms, f"pools={{more: {{name: more, root: {tmp_path / 'more'}, csv: clips.csv}}}}", "draw_seed=[0,1]")
    pool = [step for step in plan.graph if step.stage.name == "prepare" and step.request.root == str(tmp_path / "more")]
    assert len(pool) == 1 and pool[0].request.settings.val_share == pool[0].request.settings.test_share == 0.0
    folders = [step.request.train for step in plan.graph if step.label.startswith("train_ast more")]
    (train,) = [step for step in plan.graph if step.stage.name == "mix_clips"]
    assert train.request.sources[0].folders == (pool[0].output,) and train.request.evaluation and not train.request.held_out
    assert {pair[1] for pair in folders} == {train.output}, "its train clips, without copies of the dataset's validation and test clips"


def test_a_pool_may_teach_the_base_model_by_its_train_clips(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/clips.csv").write_text("path,label\n")
    pools = f"pools={{more: {{name: more, domain: machines, root: {tmp_path / 'more'}, csv: clips.csv}}}}"
    plan, _ = steps(tmp_path, pools, "pretrain_on=more")
    (base,) = [step.request for step in plan.graph if step.stage.name == "train_text_to_audio"]
    told = plan.graph[base.pretraining].request
    assert (told.settings.mode, told.settings.domain) == ("plain", "machines") and plan.graph[told.clips].stage.name == "mix_clips"
