import json

import numpy as np
import pandas as pd
import pytest
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.train_ast import stage
from tasks.train_ast.clips import refuse_leaks
from tasks.train_ast.fbank import MEAN, STD, augment, fbank, frames
from tasks.train_ast.recipe import build_model, parameter_count, recipe
from tasks.train_ast.spec import Request, Settings

RATE = 16000


def sound(kind, seed, seconds=0.5):
    rng, times = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    if kind == "low":
        return (0.2 * np.sin(2 * np.pi * rng.uniform(100, 250) * times)).astype(np.float32)
    if kind == "high":
        return (0.2 * np.sin(2 * np.pi * rng.uniform(3000, 5000) * times)).astype(np.float32)
    return (0.1 * rng.standard_normal(len(times))).astype(np.float32)


def dataset(root, folder, sizes, **values):
    rows = []
    for split, count in sizes.items():
        for kind in ("low", "high", "noise"):
            for number in range(count):
                path = f"{folder}/{split}{kind}{number}.wav"
                audio.write(root / path, sound(kind, hash((folder, split, number)) % 1000), RATE)
                name = manifest.clip_id(folder, split, kind, number)
                rows.append(manifest.row(name, path, "gold", label=kind, split=split, duration_s=0.5, **values))
    manifest.write(root / folder, manifest.frame(rows))
    return rows


@pytest.fixture
def data_root(tmp_path):
    dataset(tmp_path, "stages/caption/aa", {"train": 4})
    dataset(tmp_path, "stages/clap_filter/aa", {"train": 3})
    dataset(tmp_path, "stages/prepare/aa", {"val": 4, "test": 5})
    return tmp_path


def train(root, name="run", sources=("caption",), seed=1, emit=lambda kind, values: None, **settings):
    output = root / "stages/train_ast" / name
    output.mkdir(parents=True, exist_ok=True)
    options = {"steps": 12, "batch_clips": 6, "evaluate_every": 4, **settings}
    request = Request(tuple(f"stages/{source}/aa" for source in sources), "stages/prepare/aa", "arm", seed, Settings(**options))
    return stage.run(request, Context(output, root, threads=1, emit=emit)), output


def test_it_learns_three_easy_classes_and_writes_true_scores(data_root):
    result, output = train(data_root, steps=60, sources=("caption", "clap_filter"), evaluate_every=10)
    assert result.train_clips == 21 and result.gold_clips == 12 and result.classes == ("high", "low", "noise")
    assert result.test_accuracy > 0.6, "chance is a third"
    predictions = pd.read_parquet(output / "predictions.parquet")
    test = predictions[predictions["split"] == "test"]
    right = (test["label"] == test["predicted"]).to_numpy()
    assert result.test_accuracy == pytest.approx(right.mean(), abs=1e-6) and len(test) == 15
    matrix = np.zeros((3, 3), int)
    for row in test.itertuples():
        matrix[result.classes.index(row.label), result.classes.index(row.predicted)] += 1
    assert matrix.tolist() == [list(row) for row in result.confusion]
    precision, recall = np.diag(matrix) / np.maximum(1, matrix.sum(0)), np.diag(matrix) / matrix.sum(1)
    f1 = np.mean([2 * p * r / (p + r) if p + r else 0 for p, r in zip(precision, recall, strict=True)])
    assert result.test_macro_f1 == pytest.approx(f1, abs=1e-3)
    assert result.per_class_accuracy == {name: pytest.approx(r, abs=1e-3) for name, r in zip(result.classes, recall, strict=True)}
    assert np.allclose(test[[f"p_{name}" for name in result.classes]].sum(axis=1), 1, atol=1e-3)
    curve = json.loads((output / "curves.json").read_text())
    assert result.val_accuracy == max(point["val_accuracy"] for point in curve)


def test_test_labels_have_no_say_in_anything(data_root):
    first, one = train(data_root, "one")
    table = manifest.read(data_root / "stages/prepare/aa")
    tests = table["split"] == "test"
    table.loc[tests, "label"] = list(table.loc[tests, "label"])[::-1]
    manifest.write(data_root / "stages/prepare/aa", table)
    second, two = train(data_root, "two")
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    assert first.best_step == second.best_step and first.confusion != second.confusion


def test_interrupted_and_resumed_equals_uninterrupted(data_root, monkeypatch):
    monkeypatch.setattr(stage, "CHECKPOINT_EVERY", 4)
    _, whole = train(data_root, "whole")

    class Killed(Exception):
        pass

    def kill(kind, values):
        if kind == "progress" and values["unit"] == "steps" and values["done"] == values["total"]:
            raise Killed

    with pytest.raises(Killed):
        train(data_root, "part", emit=kill)
    assert (data_root / "stages/train_ast/part" / stage.CHECKPOINT).exists()
    _, part = train(data_root, "part")
    for name in ("model.safetensors", "predictions.parquet", "curves.json"):
        assert (part / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (part / stage.CHECKPOINT).exists()


def test_true_sample_rate_reaches_the_filter_bank(tmp_path):
    banks = []
    for rate in (16000, 44100):
        tone = (0.3 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)).astype(np.float32)
        audio.write(tmp_path / f"{rate}.wav", tone, rate)
        banks.append(fbank(audio.load_mono(tmp_path / f"{rate}.wav", RATE), frames(1.0)))
    peaks = [int(bank[20:80].mean(0).argmax()) for bank in banks]
    assert peaks[0] == peaks[1] and banks[0].shape == banks[1].shape == (102, 128)
    assert float((banks[0][10:90] - banks[1][10:90]).abs().mean()) < 0.15


def test_filter_bank_is_asts(tmp_path):
    samples = sound("noise", 0, 1.0)
    import torchaudio

    raw = torchaudio.compliance.kaldi.fbank(
        torch.from_numpy(samples - samples.mean())[None], htk_compat=True, sample_frequency=16000, use_energy=False, window_type="hanning",
        num_mel_bins=128, dither=0.0, frame_shift=10,
    )  # fmt: skip
    assert torch.allclose(fbank(samples, 60), (raw[:60] - MEAN) / (2 * STD), atol=1e-5)
    assert frames(10.0) == 1024 and frames(5.0) == 512


def test_augmentation_is_seeded_and_keeps_the_shape():
    banks = fbank(sound("noise", 1, 1.0), 100)
    first, again = (augment(banks, torch.Generator().manual_seed(3), 20, 16) for _ in range(2))
    assert torch.equal(first, again) and first.shape == banks.shape and not torch.equal(first, banks)


def test_leaks_are_refused():
    clips = pd.DataFrame({"clip_id": ["t", "v", "x"], "split": ["train", "val", "test"]})
    refuse_leaks(pd.DataFrame({"clip_id": ["t", "s"], "parents": [[], ["t"]]}), clips)
    for bad in ({"clip_id": ["v"], "parents": [[]]}, {"clip_id": ["s"], "parents": [["x"]]}):
        with pytest.raises(InvalidValueError, match="descend from validation or test"):
            refuse_leaks(pd.DataFrame(bad), clips)


def test_rejected_and_foreign_clips_stay_out_and_unknown_labels_are_named(data_root):
    table = manifest.read(data_root / "stages/clap_filter/aa")
    table.loc[:4, "status"] = "rejected"
    manifest.write(data_root / "stages/clap_filter/aa", table)
    result, _ = train(data_root, sources=("caption", "clap_filter"), steps=2)
    assert result.train_clips == 12 + 4
    evaluation = manifest.read(data_root / "stages/prepare/aa")
    evaluation.loc[0, "label"] = "never heard"
    manifest.write(data_root / "stages/prepare/aa", evaluation)
    with pytest.raises(InvalidValueError, match="never heard"):
        train(data_root, "unknown")


def test_paper_preset_is_base384_with_the_published_schedule():
    settings = Settings(preset="paper")
    plan = recipe(settings, 96)
    assert plan.steps == 100 and plan.batch_clips == 48 and plan.learning_rate == 1e-4
    assert (
        plan.rate(0) == plan.rate(9) == 1e-4 and plan.rate(10) == pytest.approx(0.85e-4) and plan.rate(12) == pytest.approx(0.85**2 * 1e-4)
    )
    assert recipe(Settings(preset="paper", pretrained="x"), 96).learning_rate == 1e-5
    model = build_model(settings, 50, 512)
    assert model.config.hidden_size == 768 and model.config.num_hidden_layers == 12 and 85e6 < parameter_count(model) < 88e6


def test_pretrained_folder_is_loaded_and_a_missing_one_is_named(tmp_path):
    small = build_model(Settings(), 3, 51)
    small.save_pretrained(tmp_path / "ast")
    loaded = build_model(Settings(pretrained=str(tmp_path / "ast")), 5, 51)
    assert loaded.classifier.dense.out_features == 5
    name = "audio_spectrogram_transformer.embeddings.cls_token"
    assert torch.equal(loaded.state_dict()[name], small.state_dict()[name])
    with pytest.raises(InvalidValueError, match="no such folder"):
        build_model(Settings(pretrained="/nowhere"), 5, 51)
