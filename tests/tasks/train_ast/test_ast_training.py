import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from core import audio, manifest
from core.errors import InvalidValueError
from tasks.ast_classifier import recipe as recipe_module
from tasks.ast_classifier import training
from tasks.ast_classifier.clips import Features, refuse_leaks
from tasks.ast_classifier.fbank import MEAN, STD, fbank, filter_bank, frames
from tasks.ast_classifier.model import build_model, parameter_count
from tasks.ast_classifier.recipe import recipe
from tasks.ast_classifier.scoring import predict, windows
from tasks.train_ast.spec import Request, Settings
from tests.tasks.train_ast.sounds import RATE, dataset, sound, train


@pytest.fixture
def data_root(tmp_path):
    dataset(tmp_path, "stages/caption/aa", {"train": 4})
    dataset(tmp_path, "stages/clap_filter/aa", {"train": 3})
    dataset(tmp_path, "stages/prepare/aa", {"val": 4, "test": 5})
    return tmp_path


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
    assert result.metric == "accuracy" and (result.val_score, result.test_score) == (result.val_accuracy, result.test_accuracy)
    f1_of_class = 2 * precision * recall / np.maximum(1e-9, precision + recall)
    assert result.per_class_score == {name: pytest.approx(f, abs=1e-3) for name, f in zip(result.classes, f1_of_class, strict=True)}
    assert json.loads((output / "labels.json").read_text()) == ["high", "low", "noise"]


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
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 4)
    _, whole = train(data_root, "whole")

    class Killed(Exception):
        pass

    def kill(kind, values):
        if kind == "progress" and values["unit"] == "steps" and values["done"] == values["total"]:
            raise Killed

    with pytest.raises(Killed):
        train(data_root, "part", emit=kill)
    assert (data_root / "stages/train_ast/part" / training.CHECKPOINT).exists()
    _, part = train(data_root, "part")
    for name in ("model.safetensors", "predictions.parquet", "curves.json"):
        assert (part / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (part / training.CHECKPOINT).exists()


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
    assert (plan.betas, plan.weight_decay, plan.decoupled_decay, plan.label_smoothing) == ((0.95, 0.999), 5e-7, False, 0.0)
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
    for name, part in loaded.audio_spectrogram_transformer.state_dict().items():
        assert torch.equal(part, small.audio_spectrogram_transformer.state_dict()[name]), name
    with pytest.raises(InvalidValueError, match="no such folder"):
        build_model(Settings(pretrained="/nowhere"), 5, 51)


@pytest.mark.parametrize("frames", [96, 200, 400])
def test_pretrained_positions_are_cut_or_stretched_in_time(tmp_path, frames):
    stride, high = recipe_module.CPU.time_stride, (128 - 16) // recipe_module.CPU.frequency_stride + 1
    small = build_model(Settings(), 3, 200)
    embeddings = small.audio_spectrogram_transformer.embeddings
    wide = (200 - 16) // stride + 1
    along = torch.arange(wide).float().repeat(high)  # every patch knows its column
    embeddings.position_embeddings.data[:, 2:] = along[None, :, None].expand_as(embeddings.position_embeddings[:, 2:])
    small.save_pretrained(tmp_path)
    model = build_model(Settings(pretrained=str(tmp_path)), 3, frames)
    wanted = (frames - 16) // stride + 1
    found = model.audio_spectrogram_transformer.embeddings.position_embeddings[0, 2:, 0].detach().reshape(high, wanted)
    assert torch.equal(found, found[:1].expand_as(found))
    if frames <= 200:
        first = (wide - wanted) // 2
        assert found[0].tolist() == list(range(first, first + wanted))
    else:
        centres = (np.arange(wanted) + 0.5) * wide / wanted - 0.5
        assert np.allclose(found[0].numpy(), centres.clip(0, wide - 1), atol=1e-4)
    assert model(input_values=torch.zeros(1, frames, 128)).logits.shape == (1, 3) and model.config.max_length == frames


def test_synthetic_only_has_the_classes_length_and_steps_of_the_gold_clips(data_root):
    table = manifest.read(data_root / "stages/clap_filter/aa")
    manifest.write(data_root / "stages/clap_filter/aa", table[table["label"] != "noise"])
    result, output = train(data_root, "synthetic", ("clap_filter",), gold="caption")
    assert result.gold_clips == 0 and result.train_clips == 6 and result.classes == ("high", "low", "noise")
    mixed, other = train(data_root, "mixed", ("clap_filter", "caption"), gold="caption")
    assert mixed.gold_clips == 12 and mixed.train_clips == 18
    _, first = train(data_root, "first", ("caption", "clap_filter"))
    assert (first / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes(), "gold may stand anywhere"
    assert (output / "labels.json").read_bytes() == (first / "labels.json").read_bytes()
    assert (output / "config.json").read_bytes() == (first / "config.json").read_bytes()
    with pytest.raises(InvalidValueError, match="noise"):
        train(data_root, "own", ("clap_filter",))


def test_batches_hold_the_share_of_gold_clips_where_there_are_both():
    drawn = [training.draw_batch(50, gold, 8, 0.25, torch.Generator().manual_seed(seed)) for gold in (10, 0, 50) for seed in range(200)]
    mixed, synthetic, gold = torch.stack(drawn[:200]), torch.stack(drawn[200:400]), torch.stack(drawn[400:])
    assert ((mixed < 10).sum(1) == 2).all() and set(mixed.flatten().tolist()) == set(range(50))
    assert set(synthetic.flatten().tolist()) == set(gold.flatten().tolist()) == set(range(50))


def test_windows_are_even_overlap_by_half_and_reach_the_end():
    clips, starts = windows(torch.tensor([40, 100, 101, 30, 250]), 100)
    assert clips.tolist() == [0, 1, 2, 2, 3, 4, 4, 4, 4] and starts.tolist() == [0, 0, 0, 1, 0, 0, 50, 100, 150]
    _, starts = windows(torch.tensor([333]), 100)
    steps = np.diff(starts.numpy())
    assert starts[-1] == 233 and steps.max() <= 50 and steps.max() - steps.min() <= 1


def test_prediction_is_the_mean_over_windows_and_that_of_the_whole_clip_when_it_is_one_window_long():
    torch.manual_seed(0)
    model, banks = build_model(Settings(), 3, 64).eval(), torch.randn(2, 100, 128)
    features = Features(["a", "b"], banks, torch.tensor([64, 100]), torch.eye(3)[:2])
    found = predict(model, features, 64, False, "float32", "cpu")
    with torch.no_grad():
        parts = torch.cat([banks[:1, :64], banks[1:, 0:64], banks[1:, 18:82], banks[1:, 36:100]])
        expected = model(input_values=parts).logits.softmax(-1)
    assert torch.allclose(found[0], expected[0], atol=1e-6) and torch.allclose(found[1], expected[1:].mean(0), atol=1e-6)


def test_training_on_stretches_learns_and_makes_a_model_of_that_length(tmp_path):
    for folder, sizes in (("caption", {"train": 3}), ("prepare", {"val": 2, "test": 4})):
        dataset(tmp_path, f"stages/{folder}/aa", sizes, seconds=1.5)
    result, output = train(tmp_path, crop_frames=48, steps=40)
    assert json.loads((output / "config.json").read_text())["max_length"] == 48 and result.test_accuracy > 0.6
    (one, first), (two, second) = (train(tmp_path, name, crop_frames=48, steps=4) for name in ("first", "second"))
    assert one == two and (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_bfloat16_learns_is_repeatable_and_keeps_float32_weights(data_root):
    result, output = train(data_root, "half", steps=40, precision="bfloat16")
    short = [train(data_root, f"{i}", steps=4, precision=name) for i, name in enumerate(("bfloat16", "bfloat16", "float32"))]
    files = [(folder / "model.safetensors").read_bytes() for _, folder in short]
    assert files[0] == files[1] != files[2] and result.test_accuracy > 0.6
    assert all(part.dtype == torch.float32 for part in load_file(output / "model.safetensors").values())


def test_wrong_sample_rate_of_the_published_front_end_is_reproduced_and_named(tmp_path):
    samples = sound("high", 0, 5.0, 44100)
    wrong = filter_bank(audio.resample(samples, 44100, RATE), 44100)
    assert len(wrong) == 179 and len(filter_bank(audio.resample(samples, 44100, RATE))) == 498
    for folder, sizes in (("caption", {"train": 2}), ("prepare", {"val": 1, "test": 1})):
        dataset(tmp_path, f"stages/{folder}/aa", sizes, rate=44100 if folder == "caption" else RATE)
    said = []
    legacy, one = train(tmp_path, "legacy", steps=1, legacy_rate=True, emit=lambda kind, values: said.append(values.get("message")))
    right, two = train(tmp_path, "right", steps=1)
    assert legacy.faults == ("legacy_rate: the filter bank was told a wrong sample rate for 6 of 12 clips",) and legacy.faults[0] in said
    assert right.faults == () and (one / "model.safetensors").read_bytes() != (two / "model.safetensors").read_bytes()


def test_gold_folder_enters_the_key():
    from core import keys

    identity = keys.request_identity(Request(("a",), "b", 1), None)
    assert identity != keys.request_identity(Request(("a",), "b", 1, gold="c"), None)
