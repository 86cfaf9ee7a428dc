import csv
import json

import numpy as np
import pytest
import soundfile

from core import manifest
from core.errors import InvalidValueError
from tasks.match_sound import sources, stage
from tasks.match_sound.spec import Request, Settings
from tasks.presets import hand_crafted, presets_json
from tasks.presets.reading import open_presets
from tasks.sound_matching.audio_distances import AudioDistances, compare
from tests.tasks.train_sound_matcher import toy
from tests.tasks.train_sound_matcher.toy import TEST, VAL, context_of, train

CLIPS = "stages/clips/aa"


@pytest.fixture(scope="session")
def matcher(data_root):
    train(data_root, "matcher", epochs=2, val_sounds=0)
    return "stages/train_sound_matcher/matcher"


@pytest.fixture(scope="session")
def clips(data_root):
    """Three readable clips of other rates and lengths, one that is none."""
    folder = data_root / CLIPS
    folder.mkdir(parents=True)
    rows = []
    for number, (rate_hz, seconds) in enumerate(((16000, 0.2), (32000, 0.4), (44100, 1.0))):
        sound = np.random.default_rng(number).normal(size=(round(rate_hz * seconds), 2)) * 0.1
        soundfile.write(folder / f"{number}.wav", sound, rate_hz)
        rows.append(manifest.row(f"clip{number}", f"{CLIPS}/{number}.wav", "gold", label="dog", split="test" if number else "train"))
    (folder / "3.wav").write_bytes(b"no sound")
    rows.append(manifest.row("clip3", f"{CLIPS}/3.wav", "gold", label="dog", split="test"))
    manifest.write(folder, manifest.frame(rows))
    return CLIPS


def match(root, name, matcher, fields=None, **settings):
    context = context_of(root, f"stages/match_sound/{name}")
    given = {"presets": TEST, **(fields or {})}
    return stage.run(Request(matcher, settings=Settings(**settings), **given), context), context.output


def test_the_right_presets_sound_right(data_root, matcher, monkeypatch):
    presets = open_presets(data_root / TEST)
    order = sorted(
        range(len(presets)), key=lambda row: sources.order_of(sources.hashlib.sha256(presets.parameters[row].tobytes()).hexdigest()[:16])
    )
    monkeypatch.setattr(stage, "exact", lambda outputs, layout: np.array(presets.parameters)[order])
    result, output = match(data_root, "right", matcher)
    assert (result.sounds, result.failed, result.mae, result.switch_accuracy, result.category_accuracy) == (len(presets), 0, 0, 1, 1)
    assert result.a_mean == pytest.approx(0, abs=1e-6), "each with its own note and velocity"
    assert result.baseline_a_mean > 0.5
    told = json.loads((output / "presets.json").read_text())
    fitted = hand_crafted.fitted(toy.SPEC, presets_json.read(json.dumps(told).encode(), "x"))
    assert np.allclose(sorted(fitted.values.tolist()), sorted(presets.parameters.tolist()), atol=1e-6)


def test_means_rows_pairs_and_table_belong_together(data_root, matcher, clips):
    result, output = match(data_root, "both", matcher, {"clips": clips}, listen=2, max_failed_share=0.5)
    scores = json.loads((output / "scores.json").read_text())
    with (output / "sounds.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    own, others = ([row for row in rows if row["source"] == kind] for kind in ("presets", "clips"))
    assert (len(own), len(others), result.clips, result.clips_failed) == (result.sounds, 3, 3, 1)
    assert list(scores["unreadable"]) == ["clip3"]
    for name in ("stft", "mstft", "mel", "mfccd", "a_mean", "mae", "switch_accuracy", "category_accuracy"):
        mean = np.mean([float(row[name]) for row in own])
        assert getattr(result, name) == pytest.approx(mean, rel=1e-6) == pytest.approx(scores["in_domain"][name], rel=1e-6)
    assert result.clips_a_mean == pytest.approx(np.mean([float(row["a_mean"]) for row in others]))
    assert all(row["mae"] == "" for row in others) and result.clips_baseline_a_mean > 0
    pairs = json.loads((output / "listen.json").read_text())
    assert [pair["source"] for pair in pairs] == ["presets"] * 2 + ["clips"] * 2
    distances = AudioDistances(32000)
    for pair in pairs:
        sounds = [soundfile.read(output / pair[what], dtype="float32") for what in ("target", "match")]
        assert all(rate == 32000 and len(sound) == 12800 and np.abs(sound).max() < 1 for sound, rate in sounds)
    kept = open_presets(data_root / TEST)
    row = {sources.hashlib.sha256(one.tobytes()).hexdigest()[:16]: place for place, one in enumerate(np.array(kept.parameters))}
    loud = max(np.abs(kept.audio[row[pairs[0]["id"]]]).max(), 1e-9)
    if loud < 0.9:  # neither was softened, so that the files say what was measured, but for their 24 bits
        told = compare(distances, [soundfile.read(output / pairs[0]["match"], dtype="float32")[0]], [kept.audio[row[pairs[0]["id"]]]])
        assert told[0]["mel"] == pytest.approx(pairs[0]["mel"], rel=0.2)
    lines = result.table.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["sounds of", "presets", "presets, by chance", "clips", "clips, by chance"]
    assert f"{result.a_mean:.4f}" in lines[1] and f"{result.baseline_a_mean:.4f}" in lines[2]


def test_fewer_sounds_are_some_of_the_same_with_the_same_scores(data_root, matcher, clips):
    _, whole = match(data_root, "whole", matcher, {"clips": clips, "clips_split": "test"}, listen=0, max_failed_share=0.5)
    _, part = match(data_root, "part", matcher, {"clips": clips, "clips_split": "test"}, listen=0, most=2, max_failed_share=0.5)
    told = [{row["id"]: row for row in json.loads((folder / "sounds.json").read_text())} for folder in (whole, part)]
    assert len(told[1]) < len(told[0]) and set(told[1]) < set(told[0])
    assert "clip0" not in told[0], "of the asked split only"
    for name, row in told[1].items():
        for score, value in row.items():
            assert value == told[0][name][score] or value == pytest.approx(told[0][name][score], rel=1e-4), (name, score)


def test_clips_alone_need_no_presets(data_root, matcher, clips):
    result, output = match(data_root, "clips", matcher, {"presets": "", "clips": clips, "clips_split": "train"})
    assert (result.sounds, result.clips, result.a_mean, result.clips_baseline_a_mean) == (0, 1, None, None)
    assert result.clips_a_mean > 0 and json.loads((output / "scores.json").read_text())["in_domain"] is None


def test_what_cannot_be_matched_is_refused(data_root, matcher, clips, monkeypatch):
    with pytest.raises(InvalidValueError, match="nothing to match"):
        Request("stages/train_sound_matcher/aa")
    with pytest.raises(InvalidValueError, match="too many failed"):
        match(data_root, "failed", matcher, {"presets": "", "clips": clips, "clips_split": "test"}, max_failed_share=0.2)
    with pytest.raises(InvalidValueError, match="no such rows"):
        match(data_root, "rows", matcher, {"presets": VAL})
    toy.render(data_root, "stages/render_presets/short", n=3, duration_s=0.3, split="test")
    with pytest.raises(InvalidValueError, match="made otherwise"):
        match(data_root, "short", matcher, {"presets": "stages/render_presets/short"})


def test_matches_that_cannot_be_played_are_counted(data_root, matcher, monkeypatch):
    play = toy.HerePool.render

    def fails(self, jobs):
        for number, outcome in enumerate(play(self, jobs)):
            yield outcome if number else type(outcome)(outcome.id, None, "crash", "SIGSEGV")

    monkeypatch.setattr(toy.HerePool, "render", fails)
    result, output = match(data_root, "crash", matcher)
    rows = json.loads((output / "sounds.json").read_text())
    assert result.failed == 1 and rows[0]["reason"] == "SIGSEGV" and rows[0]["a_mean"] is None and rows[1]["a_mean"] > 0
    assert result.a_mean == pytest.approx(np.mean([row["a_mean"] for row in rows[1:]]))
    assert result.mae == pytest.approx(np.mean([row["mae"] for row in rows])), "what was estimated is known all the same"
