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
    assert [(one.model, one.seed) for one in trained] == [(name, seed) for name in ("tfm_modules", "hn_oh", "mlp_oh") for seed in (1, 2)]
    train, val, test = (step.output for step in plan.graph if step.stage.name == "render_presets")
    assert {(one.train, one.val, one.search) for one in trained} == {(train, val, "")}
    assert {(one.sampled, one.val, one.hand_crafted) for one in of(plan, "evaluate_preset_encoder")} == {(test, val, "")}
    page = plan.graph[plan.report].request
    assert [(run.encoder, run.seed) for run in page.runs][:3] == [("TFM-modules", 1), ("TFM-modules", 2), ("HN-OH", 1)]
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
    assert trained == [("mlp_oh", None, {}), ("tfm", 3, {}), ("mlp_oh", None, {"hidden": 4096})] and "3 encoders" in plan.title
    with pytest.raises(InvalidValueError, match="empty"):
        steps(tmp_path, "encoders={TFM-modules: null, TFM: null, HN-OH: null, MLP-OH: null}")  # one that is not there may be left out, too


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
    assert plan.title.startswith("synth_proxy · SmallSynth · 16,000 presets")
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
    assert sum(label.startswith("search_preset_encoder") for label in labels) == 3, "one search for all seeds"
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


def test_clap_hears_every_set_in_a_step_of_its_own(tmp_path):
    (tmp_path / "630k.pt").write_text("weights")
    (tmp_path / "banks").mkdir()
    words = ("clap_checkpoint=630k.pt", "hand_crafted=banks", "hear_presets.reduction=max")
    plan, labels = steps(tmp_path, *words)
    rendered = {step.output: step.request.settings for step in plan.graph if step.stage.name == "render_presets"}
    assert {(one.audio_model, one.audio_clips, one.sample_rate_hz) for one in rendered.values()} == {("", -1, 48000)}
    assert of(plan, "probe_synth")[0].sample_rate_hz == 48000, "it is asked at the rate that is rendered at"
    heard = {step.output: step.request for step in plan.graph if step.stage.name == "hear_presets"}
    assert [one.presets for one in heard.values()] == list(rendered) and len(heard) == 4 and "hear_presets hand-crafted" in labels
    assert {(one.checkpoint, one.settings.reduction) for one in heard.values()} == {(str(tmp_path / "630k.pt"), "max")}
    train, val, test, by_hand = heard
    assert {(one.train, one.val) for one in of(plan, "train_preset_encoder")} == {(train, val)}
    assert {(one.sampled, one.val, one.hand_crafted) for one in of(plan, "evaluate_preset_encoder")} == {(test, val, by_hand)}
    page = plan.graph[plan.report].request
    assert [one.path for one in page.sets] == list(heard) and str(tmp_path) not in page.config
    (tmp_path / "630k.pt").write_text("other weights")
    other, _ = steps(tmp_path, *words)
    assert [step.output for step in other.graph if step.stage.name == "render_presets"] == list(rendered), "nothing is rendered again"
    assert not {step.output for step in other.graph if step.stage.name == "hear_presets"} & set(heard)
    slow, _ = steps(tmp_path, *words, "render_presets.sample_rate_hz=16000")
    assert {one.settings.sample_rate_hz for one in of(slow, "render_presets")} == {16000}
    assert "hear_presets" not in {step.stage.name for step in steps(tmp_path)[0].graph}


def test_clap_takes_part_in_search_matching_and_ranking(tmp_path):
    (tmp_path / "630k.pt").write_text("weights")
    plan, _ = steps(tmp_path, "clap_checkpoint=630k.pt", "search=true", "match=true", "rank=true")
    heard = {step.output: step.request.presets for step in plan.graph if step.stage.name == "hear_presets"}
    for request in of(plan, "search_preset_encoder"):
        assert {request.train, request.val} <= set(heard)
    (trained,) = {one.train for one in of(plan, "train_sound_matcher")}
    assert plan.graph[heard[trained]].request.settings.mel_clips == -1, "the proxy loss is CLAP's, its estimator reads mel levels"
    assert {one.presets for one in of(plan, "match_sound")} == {of(plan, "evaluate_preset_encoder")[0].sampled}
    (study,), (ranked,) = of(plan, "rank_audio_models"), of(plan, "rank_clap")
    assert (study.settings.keep_sounds, study.settings.least_rate_hz) == (True, 48000)
    assert plan.graph[ranked.ranking].stage.name == "rank_audio_models" and ranked.checkpoint == str(tmp_path / "630k.pt")
    assert plan.graph[plan.graph[plan.report].request.ranking].stage.name == "rank_clap"
    plain, _ = steps(tmp_path, "rank=true")
    assert not of(plain, "rank_audio_models")[0].settings.keep_sounds and not of(plain, "rank_clap")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["synth.plugin=nowhere.vst3"], "synth.plugin"), (["synth.name=diva"], "nothing plays it"),
        (["hand_crafted=nowhere"], "hand_crafted"),
        (["encoders={x: {}}"], "no such encoder"), (["encoders={tfm: {sizes: 3}}"], "encoders.tfm"), (["val.seed=500"], "something twice"),
        (["render_presets.n=7"], "the flow sets it"), (["synth.exclude=[a]"], "not a draft"), (["training_seeds=[]"], "empty"),
        (["synth.name=dexed", "synth.spec=x.json"], "two specs"), (["match=true", "match_presets=100000"], "match_presets"),
        (["synth.uri=http://example.org/x", "rank=true"], "no attributes are known"),
        (["clap_checkpoint=gone.pt"], "clap_checkpoint: no such file"), (["render_presets.audio_model=clap"], "clap_checkpoint=FILE"),
        (["rank_audio_models.models=[{name: clap}]"], "clap_checkpoint=FILE"),
        (["clap_checkpoint=x.pt", "render_presets.audio_model=mn04"], "two audio models"),
        (["clap_checkpoint=x.pt", "render_presets.reduction=max"], r"two audio models.*hear_presets"),
        (["clap_checkpoint=x.pt", "sounds=here"], "sounds cannot be looked up by CLAP"),
        (["clap_checkpoint=x.pt", "rank=true", "rank_clap.title=mel"], r"rank_clap\.title"),
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
