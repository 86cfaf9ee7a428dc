import json

import numpy as np
import pytest
import torch

from core import audio, keys
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_model import loading
from tasks.clap_model.audio_model import open_clap
from tasks.clap_model.windows import windows
from tasks.hear_presets import stage
from tasks.hear_presets.sounds import open_sounding, read
from tasks.hear_presets.spec import Request, Settings
from tasks.presets import reading
from tests.tasks.train_preset_encoder import sets

ROWS, RATE, SECONDS = 70, 8000, 3.0
SOUNDING, OTHER, CLAP = "stages/render_presets/aa", "stages/render_presets/bb", "stages/train_clap/aa"


def played(presets, seed=0):
    """Tones whose pitch, level and roughness hang on the preset [N, T], so that sounds differ in what CLAP's mel bands show."""
    rng, time = np.random.default_rng(seed), np.arange(round(RATE * SECONDS)) / RATE
    tones = [np.sin(2 * np.pi * 200 * 2 ** (4 * row[3]) * time) * (0.1 + 0.4 * row[0]) for row in presets]
    return np.stack([tone * np.exp(-time * row[5]) + 0.01 * rng.normal(size=len(time)) for tone, row in zip(tones, presets, strict=True)])


def write(root, folder, rows=ROWS, seed=0, kind="float16", **changed):
    """A preset set as render_presets leaves it with ``audio_model`` empty and ``audio_clips`` −1."""
    given = {"audio_model": "", "dimensions": 0, "sample_rate_hz": RATE, "duration_s": SECONDS, "includes_mel": False}
    presets, _ = sets.write(root, rows, folder, seed=seed, **{**given, **changed})
    (root / folder / "embeddings.npy").unlink()
    np.save(root / folder / "audio.npy", played(presets).astype(kind))
    (root / folder / "kept.json").write_text("[]")
    (root / folder / "done.json").write_text("{}")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("hear")
    write(root, SOUNDING)
    write(root, OTHER, rows=8, seed=1)
    torch.manual_seed(0)
    (root / CLAP).mkdir(parents=True)
    loading.CompactClap(loading.CompactConfig()).save(root / CLAP, {"labels": ["x"]})
    return root


def hear(root, name, presets=SOUNDING, shards=2, order=None, emit=lambda kind, values: None, **settings):
    folder = f"stages/hear_presets/{name}"
    (root / folder).mkdir(parents=True, exist_ok=True)
    context = Context(root / folder, root, final=folder, emit=emit)
    request = Request(presets, CLAP, shards, Settings(**settings))
    for shard in order or range(shards):
        stage.run_shards(request, context, [shard])
    return stage.run(request, context), root / folder


@pytest.fixture(scope="module")
def heard(root):
    return hear(root, "heard")


@pytest.fixture(scope="module")
def by_hand(root):
    """Embeddings [rows, windows, dim] of single windows, without stage, embedder and audio model."""
    model, _ = loading.load(root / CLAP, "", "", "cpu")
    sounds = np.load(root / SOUNDING / "audio.npy").astype(np.float32)
    found = []
    for sound in sounds:
        cut = windows(audio.resample(sound, RATE, 16000), 32000)
        with torch.inference_mode():
            found.append(torch.cat([model.audio_embedding(one[None]) for one in cut]).numpy())
    return np.stack(found)


def test_embeddings_are_the_mean_and_the_maximum_of_claps_windows(root, heard, by_hand):
    result, folder = heard
    assert by_hand.shape == (ROWS, 2, 64), "3 s are two windows of 2 s"
    assert np.load(folder / "embeddings.npy") == pytest.approx(by_hand.mean(1), abs=1e-5)
    greatest, other = hear(root, "max", reduction="max")
    assert np.load(other / "embeddings.npy") == pytest.approx(by_hand.max(1), abs=1e-5)
    digest = keys.files_digest([root / CLAP / loading.CONFIG, root / CLAP / loading.WEIGHTS])[:16]
    assert (result.rows, result.dimensions, result.windows) == (ROWS, 64, 2) and result.audio_model == f"clap:{digest}"
    assert greatest.audio_model == f"clap:{digest}/max"


def test_the_set_is_the_same_but_for_who_listened(root, heard):
    before, after = reading.open_presets(root / SOUNDING), reading.open_presets(heard[1])
    changed = {"audio_model", "dimensions", "heard"}
    assert {name for name in after.meta if after.meta[name] != before.meta.get(name)} == changed
    assert after.meta["heard"] == {"sample_rate_hz": 16000, "window_s": 2.0, "windows": 2} and after.meta["sample_rate_hz"] == RATE
    assert np.array_equal(after.parameters, before.parameters) and np.array_equal(after.audio, before.audio)
    assert after.table.equals(before.table) and after.embeddings.shape == (ROWS, 64) and after.embeddings.dtype == np.float32
    assert (heard[1] / "kept.json").is_file() and not (heard[1] / "done.json").exists(), "the other stage's record is not the set's"
    assert (heard[1] / "audio.npy").samefile(root / SOUNDING / "audio.npy"), "sounds are not there twice"


def test_number_and_order_of_shards_play_no_part(root, heard):
    for name, shards, order in (("one", 1, None), ("five", 5, [3, 0, 4, 2, 1])):
        _, folder = hear(root, name, shards=shards, order=order)
        assert (folder / "embeddings.npy").read_bytes() == (heard[1] / "embeddings.npy").read_bytes(), name


def test_finished_shards_are_not_heard_again(root, heard, monkeypatch):
    folder = "stages/hear_presets/resumed"
    (root / folder).mkdir(parents=True)
    context = Context(root / folder, root, final=folder, emit=lambda kind, values: None)
    request = Request(SOUNDING, CLAP, 2)
    stage.run_shards(request, context, [0])
    asked = []
    whole = stage.read
    monkeypatch.setattr(stage, "read", lambda sounds, rows: asked.append(rows) or whole(sounds, rows))
    assert context.shard_is_done(0) and not context.shard_is_done(1)
    stage.run_shards(request, context, [1])
    stage.run(request, context)
    assert asked == [range(32, 64), range(64, 70)]
    assert (root / folder / "embeddings.npy").read_bytes() == (heard[1] / "embeddings.npy").read_bytes()


def test_encoders_train_on_what_was_heard_and_sets_heard_otherwise_are_refused(root, heard):
    train = reading.open_presets(heard[1])
    _, val = hear(root, "val", OTHER)
    reading.check_agreement(train, reading.open_presets(val))
    _, other = hear(root, "other", OTHER, reduction="max")
    for presets in (other, root / OTHER):
        with pytest.raises(InvalidValueError, match="audio_model"):
            reading.check_agreement(train, reading.open_presets(presets))
    result, output = sets.train(root, fields={"train": "stages/hear_presets/heard"})
    told = json.loads((output / "training.json").read_text())
    assert result.steps and told["audio_model"] == heard[0].audio_model


@pytest.mark.parametrize("damage", ["none", "few", "cut", "flat", "whole"])
def test_sets_without_all_of_their_sounds_are_refused(root, tmp_path, damage):
    write(tmp_path, SOUNDING, rows=5)
    path = tmp_path / SOUNDING / "audio.npy"
    sounds = np.load(path)
    if damage == "none":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        np.save(path, {"few": sounds[:4], "flat": sounds[:, 0], "whole": sounds.astype(np.int16)}[damage])
    with pytest.raises(InvalidValueError, match=r"audio_clips=-1") as told:
        open_sounding(tmp_path / SOUNDING)
    assert {"few": "4 sounds", "none": "0 sounds", "cut": "cannot be read"}.get(damage, "no sounds of the set") in str(told.value)


def test_a_sound_that_is_not_made_of_numbers_is_named(tmp_path):
    write(tmp_path, SOUNDING, rows=5)
    path = tmp_path / SOUNDING / "audio.npy"
    sounds = np.load(path)
    sounds[3, 7] = np.nan
    np.save(path, sounds)
    _, opened = open_sounding(tmp_path / SOUNDING)
    assert read(opened, range(0, 3)).dtype == np.float32
    with pytest.raises(InvalidValueError, match=r"rows \[3\].*audio_clips=-1"):
        read(opened, range(2, 5))


def test_shards_heard_by_another_model_are_refused(root, tmp_path):
    write(tmp_path, SOUNDING, rows=40)
    for name, seed in (("a", 0), ("b", 1)):
        torch.manual_seed(seed)
        (tmp_path / "stages/train_clap" / name).mkdir(parents=True)
        loading.CompactClap(loading.CompactConfig()).save(tmp_path / "stages/train_clap" / name, {})
    folder = "stages/hear_presets/mixed"
    (tmp_path / folder).mkdir(parents=True)
    context = Context(tmp_path / folder, tmp_path, final=folder, emit=lambda kind, values: None)
    for shard, name in enumerate("ab"):
        stage.run_shards(Request(SOUNDING, f"stages/train_clap/{name}", 2), context, [shard])
    with pytest.raises(InvalidValueError, match="different models"):
        stage.run(Request(SOUNDING, "stages/train_clap/a", 2), context)


def test_clap_is_an_audio_model_like_the_others(root):
    ear = open_clap(root / CLAP, "", "", "cpu", "none")
    sounds = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (3, 80000)).astype(np.float32))
    found = ear(sounds)
    assert found.shape == (3, 3, 64) and ear.sample_rate_hz == 16000 and not any(one.requires_grad for one in ear.parameters())
    assert torch.linalg.vector_norm(found, dim=-1).numpy() == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(InvalidValueError, match="not a batch"):
        ear(sounds[0])


def test_requests_name_a_set_and_a_checkpoint():
    with pytest.raises(InvalidValueError, match=r"hear_presets\.presets"):
        Request("", CLAP)
    with pytest.raises(InvalidValueError, match=r"hear_presets\.checkpoint"):
        Request(SOUNDING, "")
