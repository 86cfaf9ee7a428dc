"""A tiny made dataset like FSD50K: every clip is a mixture, its label names what is in it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from core import audio, manifest
from core.errors import InvalidValueError
from tasks.ast_classifier import scoring
from tasks.ast_classifier.clips import split_labels
from tests.tasks.train_ast.sounds import RATE, sound, train

MIXTURES = (("low",), ("high",), ("low", "high"), ("high", "noise"), ("noise", "low"))


def average_precision(said, truth):
    """Mean of the precision at each hit, going down the ranking; written from the definition (no ties)."""
    order = np.argsort(-np.asarray(said))
    hits = np.asarray(truth)[order] > 0
    return float(np.mean([hits[: i + 1].mean() for i in np.flatnonzero(hits)]))


@pytest.fixture
def data_root(tmp_path):
    for folder, sizes in (("caption", {"train": 3}), ("prepare", {"val": 3, "test": 4})):
        rows = []
        for split, count in sizes.items():
            for mixture, kinds in enumerate(MIXTURES):
                for number in range(count):
                    path = f"stages/{folder}/aa/{split}{mixture}{number}.wav"
                    audio.write(tmp_path / path, sum(sound(kind, 7 * number + len(split)) for kind in kinds), RATE)
                    name = manifest.clip_id(folder, split, mixture, number)
                    rows.append(manifest.row(name, path, "gold", label="; ".join(kinds), split=split, duration_s=0.5))
        manifest.write(tmp_path / "stages" / folder / "aa", manifest.frame(rows))
    return tmp_path


def test_labels_are_split_and_cleaned():
    assert split_labels("dog bark; rain;", ";") == ["dog bark", "rain"] and split_labels("a,b ,c", ",") == ["a", "b", "c"]
    assert split_labels("rain; wind", "") == ["rain; wind"] and split_labels("", ";") == []


def test_it_learns_mixtures_and_writes_true_scores(data_root):
    result, output = train(data_root, steps=60, evaluate_every=10, label_separator=";")
    assert result.metric == "mAP" and result.classes == ("high", "low", "noise") and result.confusion == ()
    predictions = pd.read_parquet(output / "predictions.parquet")
    for split, score, accuracy in (("val", result.val_score, result.val_accuracy), ("test", result.test_score, result.test_accuracy)):
        rows = predictions[predictions["split"] == split]
        truth = np.array([[name in text.split(";") for name in result.classes] for text in rows["label"]])
        said = rows[[f"p_{name}" for name in result.classes]].to_numpy()
        by_class = [average_precision(said[:, i], truth[:, i]) for i in range(3)]
        assert score == pytest.approx(np.mean(by_class), abs=2e-3)
        assert accuracy == pytest.approx(((said >= 0.5) == truth).all(1).mean(), abs=1e-6)
        assert (rows["label"] == rows["predicted"]).mean() == pytest.approx(accuracy, abs=1e-6)
    assert result.per_class_score == {name: pytest.approx(value, abs=2e-3) for name, value in zip(result.classes, by_class, strict=True)}
    recall = [(said[truth[:, i], i] >= 0.5).mean() for i in range(3)]
    assert result.per_class_accuracy == {name: pytest.approx(value, abs=1e-3) for name, value in zip(result.classes, recall, strict=True)}
    assert result.test_score > 0.8, "chance is about a half"
    curve = json.loads((output / "curves.json").read_text())
    best = next(point for point in curve if point["step"] == result.best_step)
    assert best["val_score"] == result.val_score
    assert best["val_score"] - 1e-3 * best["val_loss"] == max(point["val_score"] - 1e-3 * point["val_loss"] for point in curve)


@pytest.mark.parametrize("supcon", ["joint", "two_stage"])
def test_contrastive_training_takes_clips_with_several_labels(data_root, supcon):
    result, _ = train(data_root, steps=4, supcon=supcon, supcon_steps=4, supcon_clips=4, label_separator=";")
    assert 0 <= result.test_score <= 1


def test_test_labels_have_no_say(data_root):
    _, one = train(data_root, "one", label_separator=";")
    table = manifest.read(data_root / "stages/prepare/aa")
    tests = table["split"] == "test"
    table.loc[tests, "label"] = list(table.loc[tests, "label"])[::-1]
    manifest.write(data_root / "stages/prepare/aa", table)
    _, two = train(data_root, "two", label_separator=";")
    for name in ("model.safetensors", "curves.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_several_labels_without_a_separator_are_classes_and_an_unknown_one_is_named(data_root):
    assert train(data_root, steps=1)[0].classes == ("high", "high; noise", "low", "low; high", "noise; low")
    table = manifest.read(data_root / "stages/prepare/aa")
    table.loc[0, "label"] = "low; thunder"
    manifest.write(data_root / "stages/prepare/aa", table)
    with pytest.raises(InvalidValueError, match="thunder"):
        train(data_root, "unknown", steps=1, label_separator=";")
    with pytest.raises(InvalidValueError, match="label_separator"):
        train(data_root, "none", steps=1)


def test_mean_average_precision_is_its_definition_and_leaves_out_classes_that_do_not_occur():
    rng = np.random.default_rng(0)
    truth = (rng.random((40, 4)) < 0.3) * np.array([1, 1, 1, 0])
    said = rng.random((40, 4))
    expected = [average_precision(said[:, i], truth[:, i]) for i in range(3)]
    arguments = torch.tensor(said), torch.tensor(truth).float()
    assert scoring.average_precision(*arguments)[:3].tolist() == pytest.approx(expected, abs=1e-5)
    assert torch.isnan(scoring.average_precision(*arguments)[3])
    assert scoring.score(*arguments, True) == pytest.approx(np.mean(expected), abs=1e-5)
    assert set(scoring.tested(*arguments, ("a", "b", "c", "d"), True)["per_class_score"]) == {"a", "b", "c"}
    assert scoring.loss(torch.zeros(2, 3), torch.ones(2, 3), True, 0.1) == pytest.approx(np.log(2), abs=1e-6)
