import json

import numpy as np
import pytest
import torch

from core.context import Context
from core.contract import build
from core.errors import InvalidValueError
from tasks.presets import library
from tasks.rank_audio_models import attributes_file, kept_sounds, listening, stage
from tasks.rank_audio_models.attributes_file import Sweep
from tasks.rank_audio_models.correlations import from_ends, spearman, to_sound
from tasks.rank_audio_models.spec import Model, Request, Settings
from tasks.sound_matching.audio_distances import AudioDistances
from tests.tasks.train_sound_matcher.toy import HerePool

SYNTHS = ("amsynth", "builtin_voice", "dexed")
THIRTEEN = {
    "amp_attack", "amp_decay", "filter_cutoff", "filter_decay", "filter_resonance", "coarse_pitch", "reverb_wet",
    *(f"lfo_{what}_{target}" for what in ("amount", "rate") for target in ("amp", "filter", "pitch")),
}  # fmt: skip


def test_rank_correlation_by_the_classic_formula_and_by_the_published_way():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.normal(size=12)
        ranks = np.argsort(np.argsort(values))
        classic = 1 - 6 * np.square(ranks - np.arange(12)).sum() / (12 * (12**2 - 1))
        assert spearman(values, np.arange(12.0)) == pytest.approx(classic)
        assert np.corrcoef(np.argsort(values), np.arange(12))[0, 1] == pytest.approx(classic), "Pearson's of the permutation"
    assert spearman(np.array([1.0, 1.0, 2.0, 3.0]), np.arange(4.0)) == pytest.approx(np.corrcoef([0.5, 0.5, 2, 3], range(4))[0, 1])
    assert spearman(np.zeros(5), np.arange(5.0)) == 0, "who hears no difference knows no order"
    with pytest.raises(ValueError, match="not finite"):
        spearman(np.array([1.0, np.nan]), np.arange(2.0))


def test_both_ends_and_all_distances_by_hand():
    vectors = np.array([[1.0, 0.0], [2.0, 1.0], [2.0, 2.0], [4.0, 5.0]])
    assert list(to_sound(vectors, 0, "l1")) == [0, 2, 3, 8]
    assert to_sound(vectors, 3, "l2") == pytest.approx([34**0.5, 20**0.5, 13**0.5, 0])
    assert to_sound(vectors, 0, "cosine") == pytest.approx([0, 1 - 2 / 5**0.5, 1 - 1 / 2**0.5, 1 - 4 / 41**0.5])
    assert from_ends(lambda number: to_sound(vectors, number, "l1"), 4) == 1
    swapped = vectors[[0, 2, 1, 3]]
    assert from_ends(lambda number: to_sound(swapped, number, "l2"), 4) == pytest.approx((0.8 + 0.8) / 2)
    assert from_ends(lambda number: to_sound(vectors, number, "l1")[::-1], 4) == -1


@pytest.mark.parametrize("synth", SYNTHS)
def test_the_attributes_of_a_synthesiser(synth):
    every, spec = attributes_file.load(synth), library.load_spec(synth)
    assert set(every.attributes) == THIRTEEN and every.synth == synth and spec.backend
    assert (synth == "amsynth") == (not any(one.stands_for for one in every.attributes.values()))
    for name, attribute in every.attributes.items():
        sweep = Sweep(spec, every, name, 0)
        rows = sweep.raw(3, 1, 20)
        known = {one.index: one.name for one in spec.parameters}
        moving = {known[index] for index in rows[0] if len({row[index] for row in rows}) > 1}
        assert moving == {one for pattern in attribute.move for one in attributes_file.expanded(pattern, spec)}
        assert all(set(row) == set(known) and all(0 <= value <= 1 for value in row.values()) for row in rows)
        assert rows == Sweep(spec, every, name, 0).raw(3, 1, 20) and rows[0] != sweep.raw(4, 1, 20)[0] != sweep.raw(4, 2, 20)[0]
        ends = [{known[index]: value for index, value in rows[place].items()} for place in (0, -1)]
        for pattern, (low, high) in attribute.move.items():
            for one in attributes_file.expanded(pattern, spec):
                assert (ends[0][one], ends[1][one]) == pytest.approx((low, high))


def test_what_an_attribute_sets_is_over_what_the_base_draws(tmp_path):
    spec = library.load_spec("builtin_voice")
    base = {"set": {"mixer.*": 0.5}, "within": {"adsr_{1,2}.attack": [0.2, 0.3], "adsr_1.decay": [0, 0.1]}}
    own = {"title": "x", "move": {"vco_1.tuning": [0, 1]}, "set": {"adsr_1.attack": 0.9}, "within": {"mixer.noise": [0, 0.1]}}
    told = {"synth": "builtin_voice", "base": base, "attributes": {"x": own}}
    (tmp_path / "own.json").write_text(json.dumps(told))
    every = attributes_file.load(tmp_path / "own.json")
    names = {one.index: one.name for one in spec.parameters}
    drawn = [{names[index]: value for index, value in Sweep(spec, every, "x", 1).raw(k, 0, 3)[1].items()} for k in range(30)]
    assert {one["adsr_1.attack"] for one in drawn} == {0.9} and {one["mixer.vco_1"] for one in drawn} == {0.5}
    assert all(0.2 <= one["adsr_2.attack"] <= 0.3 and one["mixer.noise"] <= 0.1 and one["vco_1.tuning"] == 0.5 for one in drawn)
    assert len({one["adsr_2.attack"] for one in drawn}) == 30 and max(one["vco_2.tuning"] for one in drawn) > 0.8, "the rest is the spec's"
    told["attributes"]["x"]["move"] = {"vco_9.*": [0, 1]}
    (tmp_path / "own.json").write_text(json.dumps(told))
    with pytest.raises(InvalidValueError, match="matches no parameter"):
        Sweep(spec, attributes_file.load(tmp_path / "own.json"), "x", 1)
    with pytest.raises(InvalidValueError, match="no attributes"):
        attributes_file.load("dexd")


def study(root, name, shards=2, emit=lambda kind, values: None, **settings):
    given = {
        "synth": "builtin_voice", "only": ["filter_cutoff", "coarse_pitch", "lfo_amount_amp"], "presets": 2, "steps": 4, "duration_s": 0.4,
        "hold_s": 0.3, "fade_s": 0.0, "models": [{"name": "mel"}, {"name": "mel128", "reduction": "max"}, {"name": "mstft"}],
    }  # fmt: skip
    request = build(Request, {"settings": {**given, **settings}, "shards": shards})
    output = root / name
    output.mkdir()
    context = Context(output, root, emit=emit)
    stage.run_shards(request, context, list(range(shards)))
    return stage.run(request, context), output


@pytest.fixture
def _here(monkeypatch):
    monkeypatch.setattr(stage, "Pool", HerePool)


def test_a_study_by_real_processes(tmp_path):
    result, output = study(tmp_path, "real")
    told = json.loads((output / "ranking.json").read_text())
    rows = json.loads((output / "correlations.json").read_text())
    assert (result.models, result.attributes, result.presets, result.steps, result.sounds) == (3, 3, 2, 4, 24)
    assert len(rows) == 3 * 2 * (3 + 3 + 1) and {row["distance"] for row in rows if row["model"] == "mstft"} == {"own"}
    first = told["rows"][0]
    assert (result.best, result.best_distance, result.best_correlation) == (first["model"], first["distance"], first["correlation"])
    assert [row["correlation"] for row in told["rows"]] == sorted((row["correlation"] for row in told["rows"]), reverse=True)
    for row in told["rows"]:
        own = [one for one in rows if (one["model"], one["distance"]) == (row["model"], row["distance"])]
        means = {name: np.mean([one["correlation"] for one in own if one["attribute"] == name]) for name in row["attributes"]}
        assert row["attributes"] == pytest.approx(means) and row["correlation"] == pytest.approx(np.mean(list(means.values())))
    assert {row["model"]: row["dimensions"] for row in told["rows"]} == {"mel": 256, "mel128/max": 128, "mstft": 0}
    assert told["rendered_at_hz"] == 44100 and told["attributes"]["filter_cutoff"]["stands_for"] == "filter cutoff"
    assert result.best_correlation > 0.9 and result.table.splitlines()[1].split()[0] == first["model"]


@pytest.mark.usefixtures("_here")
def test_shards_and_order_play_no_part(tmp_path):
    _, first = study(tmp_path, "a", shards=1)
    _, second = study(tmp_path, "b", shards=3, only=["lfo_amount_amp", "filter_cutoff", "coarse_pitch"])
    told = []
    for one in (first, second):
        rows = json.loads((one / "correlations.json").read_text())
        told.append({tuple(row[name] for name in ("model", "distance", "attribute", "preset")): row["correlation"] for row in rows})
    assert told[0] == told[1]


@pytest.mark.usefixtures("_here")
def test_sounds_are_kept_for_who_listens_later(tmp_path):
    _, plain = study(tmp_path, "plain", models=[{"name": "mel"}])
    _, kept = study(tmp_path, "kept", shards=5, models=[{"name": "mel"}], keep_sounds=True, least_rate_hz=32000)
    _, fast = study(tmp_path, "fast", models=[{"name": "mel"}], keep_sounds=True, least_rate_hz=48000)
    assert (plain / "correlations.json").read_text() == (kept / "correlations.json").read_text()
    assert json.loads((plain / "ranking.json").read_text())["sounds"] == {} and not (plain / "sounds").exists()
    told = json.loads((kept / "ranking.json").read_text())
    assert set(told["sounds"]) == {"filter_cutoff", "coarse_pitch", "lfo_amount_amp"} and told["rendered_at_hz"] == 32000
    ear = listening.open_ears((Model("mel"),), Context(tmp_path, tmp_path))[0]
    for row in json.loads((kept / "correlations.json").read_text()):
        sounds = kept_sounds.opened(kept, told["sounds"][row["attribute"]])
        assert sounds.shape == (2, 4, 12800) and sounds.dtype == np.float32
        assert ear.correlations(np.array(sounds[row["preset"]]))[row["distance"]] == row["correlation"], row
    told = json.loads((fast / "ranking.json").read_text())
    assert told["rendered_at_hz"] == 48000 and kept_sounds.opened(fast, told["sounds"]["coarse_pitch"]).shape == (2, 4, 19200)
    with pytest.raises(InvalidValueError, match="keep_sounds=true"):
        kept_sounds.opened(plain, "sounds/000.npy")


@pytest.mark.usefixtures("_here")
def test_presets_that_cannot_be_ranked_are_drawn_again(tmp_path, monkeypatch):
    play, seen = HerePool.render, []

    def quiet(self, jobs):
        for outcome in play(self, jobs):
            seen.append(outcome.id)
            yield type(outcome)(outcome.id, outcome.audio * (0.0 if len(seen) <= 4 else 1.0), "ok")

    monkeypatch.setattr(HerePool, "render", quiet)
    result, _ = study(tmp_path, "again", shards=1, only=["lfo_amount_amp"], presets=1, models=[{"name": "mel"}])
    assert result.redrawn == 1 and len(seen) == 8
    with pytest.raises(InvalidValueError, match=r"no usable preset.*too soft"):
        study(tmp_path, "soft", shards=1, only=["lfo_amount_amp"], min_rms=0.9, max_tries=2)
    same = [np.ones(10, np.float32)] * 3
    assert stage.unusable(same, 0.01) == "two steps sound the same" and stage.unusable([same[0], same[0] * 0.5], 0.01) == ""


def test_plain_distances_are_those_of_sound_matching():
    sounds = np.random.default_rng(0).normal(size=(5, 9000)).astype(np.float32) * np.array([1, 0.9, 0.5, 0.3, 0.1], np.float32)[:, None]
    distances, given = AudioDistances(32000), torch.from_numpy(sounds)
    for name in listening.PLAIN:
        found = listening.PlainEar(name, name, "cpu").correlations(sounds)["own"]
        ends = {end: distances(given, given[end].expand_as(given))[name].double().numpy() for end in (0, 4)}
        assert found == pytest.approx(from_ends(ends.__getitem__, 5)), name


def test_models_are_named_once():
    with pytest.raises(InvalidValueError, match="each once"):
        Settings(models=(Model("mel"), Model("mel")))
    assert Settings(models=(Model("mel"), Model("mel", title="mel again"))).models[1].title == "mel again"
