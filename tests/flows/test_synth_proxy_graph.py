"""The graph of a study of preset encoders: sets rendered once, a training per encoder and seed, unknown plug-ins drafted."""

import pytest

from core import config, keys
from core.errors import InvalidValueError
from flows.synth_proxy import graph

VST3 = "SmallSynth.vst3"


def steps(tmp_path, *words):
    resolved = config.resolve(graph.CONFIG, "synth_proxy", list(words))
    plan = graph.build_graph(resolved, keys.FileDigests(tmp_path / "digests.json"), cwd=tmp_path, command="./run.sh synth_proxy")
    return plan, [step.label for step in plan.graph]


def of(plan, stage):
    return [step.request for step in plan.graph if step.stage.name == stage]


def test_sets_of_different_seeds_are_rendered_once_for_all_encoders_and_seeds(tmp_path):
    plan, labels = steps(tmp_path, "training_seeds=[1,2]")
    drawn = [request.settings for request in of(plan, "render_presets")]
    assert [one.split for one in drawn] == ["train", "val", "test"] and len({one.seed for one in drawn}) == 3
    trained = of(plan, "train_preset_encoder")
    assert [(one.model, one.seed) for one in trained] == [
        (name, seed) for name in ("tfm_modules", "tfm", "hn_oh", "mlp_oh") for seed in (1, 2)
    ]
    train, val, test = (step.output for step in plan.graph if step.stage.name == "render_presets")
    assert {(one.train, one.val, one.search) for one in trained} == {(train, val, "")}
    assert {(one.sampled, one.val, one.hand_crafted) for one in of(plan, "evaluate_preset_encoder")} == {(test, val, "")}
    page = plan.graph[plan.report].request
    assert [(run.encoder, run.seed) for run in page.runs][:3] == [("TFM-modules", 1), ("TFM-modules", 2), ("TFM", 1)]
    assert [one.path for one in page.sets] == [train, val, test] and page.probe and page.played and len(labels) == len(set(labels))


def test_encoders_are_added_altered_and_left_out_by_name(tmp_path):
    plan, _ = steps(
        tmp_path,
        "encoders.HN-OH=null",
        "encoders.TFM-modules=null",
        "encoders.TFM.epochs=3",
        "encoders.wide={model: mlp_oh, sizes: {hidden: 4096}}",
    )
    trained = [(one.model, one.settings.epochs, one.settings.sizes) for one in of(plan, "train_preset_encoder")]
    assert trained == [("tfm", 3, {}), ("mlp_oh", None, {}), ("mlp_oh", None, {"hidden": 4096})] and "3 encoders" in plan.title
    with pytest.raises(InvalidValueError, match="empty"):
        steps(tmp_path, "encoders={TFM-modules: null, TFM: null, HN-OH: null, MLP-OH: null}")


def test_test_presets_reach_no_training_and_no_search(tmp_path):
    plan, _ = steps(tmp_path, "search=true", "match=true")
    tests = {step.output for step in plan.graph if step.stage.name == "render_presets" and step.request.settings.split == "test"}
    assert len(tests) == 2
    for step in plan.graph:
        if step.stage.name in ("train_preset_encoder", "search_preset_encoder", "train_sound_matcher"):
            assert not tests & set(step.parents), step.label


def test_known_synthesisers_are_played_by_what_plays_them(tmp_path):
    (tmp_path / VST3).mkdir()
    (tmp_path / "amsynth.so").write_text("")
    cases = {
        (): ("dexed", "dexed", ""), ("synth.name=builtin_voice",): ("builtin_voice", "builtin", ""),
        ("synth.name=amsynth", "synth.plugin=amsynth.so"): ("amsynth", "dawdreamer", str(tmp_path / "amsynth.so")),
        ("synth.name=dexed", f"synth.plugin={VST3}"): ("dexed", "pedalboard", str(tmp_path / VST3)),
    }  # fmt: skip
    for words, expected in cases.items():
        plan, _ = steps(tmp_path, *words)
        first = of(plan, "render_presets")[0].settings
        assert (first.synth, first.backend, first.plugin) == expected and not first.spec, words
        (probe,) = of(plan, "probe_synth")
        assert (probe.backend, probe.plugin) == expected[1:], "it is asked whether it repeats itself"


def test_a_plug_in_that_nobody_knows_is_drafted(tmp_path):
    (tmp_path / VST3).mkdir()
    plan, labels = steps(tmp_path, f"synth.plugin={VST3}", "synth.exclude=[Volume]")
    (probe,) = (step for step in plan.graph if step.stage.name == "probe_synth")
    assert probe.request.exclude == ("Volume",) and probe.request.plugin == str(tmp_path / VST3) and labels[0] == "probe_synth SmallSynth"
    for request in of(plan, "render_presets"):
        assert request.settings.spec == probe.output and request.settings.backend == "pedalboard"
    assert plan.title.startswith("synth_proxy · SmallSynth · 4,000 presets")
    assert str(tmp_path) not in plan.graph[plan.report].request.config, "the page names no path of this machine"
    plan, _ = steps(tmp_path, "synth.uri=http://example.org/synth")
    assert of(plan, "render_presets")[0].settings.backend == "dawdreamer"
    (tmp_path / "draft.json").write_text("{}")
    plan, _ = steps(tmp_path, f"synth.plugin={VST3}", "synth.spec=draft.json")
    assert of(plan, "render_presets")[0].settings.spec == str(tmp_path / "draft.json")


def test_hand_made_presets_are_scored_and_never_trained_on(tmp_path):
    (tmp_path / "banks").mkdir()
    plan, labels = steps(tmp_path, "hand_crafted=banks")
    (by_hand,) = (step for step in plan.graph if step.label == "render_presets hand-crafted")
    assert by_hand.request.settings.presets == str(tmp_path / "banks") and "render_presets hand-crafted" in labels
    assert {one.hand_crafted for one in of(plan, "evaluate_preset_encoder")} == {by_hand.output}
    assert not [step for step in plan.graph if step.stage.name == "train_preset_encoder" and by_hand.output in step.parents]
    assert plan.graph[plan.report].request.sets[-1].name == "hand-crafted"


def test_searching_ranking_and_matching_are_added_when_asked_for(tmp_path):
    plain, _ = steps(tmp_path)
    plan, labels = steps(tmp_path, "search=true", "rank=true", "match=true", "training_seeds=[1,2]")
    assert sum(label.startswith("search_preset_encoder") for label in labels) == 4, "one search for all seeds"
    searches = [step.output for step in plan.graph if step.stage.name == "search_preset_encoder"]
    assert {one.search for one in of(plan, "train_preset_encoder")} == set(searches)
    page = plan.graph[plan.report].request
    assert page.ranking and {run.search for run in page.runs} == set(searches)
    assert [one.name for one in page.matches] == ["parameters", "mix"]
    matchers = of(plan, "train_sound_matcher")
    assert {(one.proxy, one.settings.schedule) for one in matchers} == {(page.runs[0].training, name) for name in ("parameters", "mix")}
    kept = [one.settings for one in of(plan, "render_presets") if one.settings.audio_clips]
    assert [(one.split, one.n) for one in kept] == [("train", 2000), ("test", 1024)]
    assert not {step.stage.name for step in plain.graph} & {"search_preset_encoder", "rank_audio_models", "match_sound"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["synth.plugin=nowhere.vst3"], "synth.plugin"), (["synth.name=diva"], "nothing plays it"),
        (["hand_crafted=nowhere"], "hand_crafted"),
        (["encoders={x: {}}"], "no such encoder"), (["encoders={tfm: {sizes: 3}}"], "encoders.tfm"), (["val.seed=500"], "something twice"),
        (["render_presets.n=7"], "the flow sets it"), (["synth.exclude=[a]"], "not a draft"), (["training_seeds=[]"], "empty"),
        (["synth.name=dexed", "synth.spec=x.json"], "two specs"), (["match_presets=100000"], "match_presets"),
        (["synth.uri=http://example.org/x", "rank=true"], "no attributes are known"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path, words, message):
    with pytest.raises(InvalidValueError, match=message):
        steps(tmp_path, *words)


def test_presets_of_the_configuration_are_complete(tmp_path):
    plan, _ = steps(tmp_path, "preset=cpu")
    settings = [one.settings for one in of(plan, "render_presets")]
    assert settings[0].n == 100_000 and {one.synth for one in settings} == {"dexed"} and {one.audio_model for one in settings} == {"mel"}
    evaluation = of(plan, "evaluate_preset_encoder")[0].settings
    assert (evaluation.candidates, evaluation.subset, evaluation.runs) == (512, 4096, 100), "the published protocols"
    smoke, _ = steps(tmp_path, "preset=smoke")
    assert of(smoke, "render_presets")[0].settings.backend == "builtin" and of(smoke, "train_preset_encoder")[0].settings.epochs == 1
