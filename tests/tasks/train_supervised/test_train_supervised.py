import json

import numpy as np
import pandas as pd
import pytest
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.contrastive.features import VGGish
from tasks.train_supervised import stage
from tasks.train_supervised.network import Network, drawn, pictures, side_by_side
from tasks.train_supervised.spec import Request, Settings
from tasks.training import loop

CLIPS = "stages/prepare/aa"
QUICK = {"width": 4, "passes": 10, "batch_clips": 4, "look_passes": 5, "precision": "float32", "learning_rate": 3e-3}


@pytest.fixture
def root(tmp_path):
    """Low and high tones in three folds, between one and two seconds long."""
    rows = []
    for number in range(18):
        label = ("low", "high")[number % 2]
        rng = np.random.default_rng(number)
        times = np.arange(round(16000 * (0.6 + 0.1 * number % 1.5))) / 16000
        sound = 0.2 * np.sin(2 * np.pi * {"low": 300, "high": 2500}[label] * times) + 0.02 * rng.standard_normal(len(times))
        path = f"{CLIPS}/audio/{number}.wav"
        audio.write(tmp_path / path, sound.astype(np.float32), 16000)
        rows.append(manifest.row(f"clip{number:02d}", path, "gold", label=label, fold=str(1 + number // 2 % 3)))
    manifest.write(tmp_path / CLIPS, manifest.frame(rows))
    return tmp_path


def train(root, name="run", **settings):
    output = root / "stages/train_supervised" / name
    output.mkdir(parents=True, exist_ok=True)
    return stage.run(Request(CLIPS, 1, Settings(**{**QUICK, **settings})), Context(output, root, emit=lambda *_: None)), output


def test_it_learns_on_each_fold_and_writes_what_the_report_of_probes_reads(root):
    result, output = train(root)
    assert (
        result.score > 0.85 and list(result.fold_scores) == ["1", "2", "3"] and result.clips == 18 and result.chance == pytest.approx(0.5)
    )
    assert result.metric == "accuracy" and set(result.per_class_score) == {"low", "high"} and not (output / "checkpoint.pt").exists()
    written = json.loads((output / "scores.json").read_text())
    assert {"metric", "fold_scores", "val_score", "chance", "heard", "per_class_score"} <= set(written) and written["heard"] == 0
    table = pd.read_parquet(output / "predictions.parquet")
    assert sorted(table["clip_id"]) == [f"clip{number:02d}" for number in range(18)]
    assert result.score == pytest.approx((table["label"] == table["predicted"]).groupby(table["fold"]).mean().mean())
    assert result.weights == sum(part.numel() for part in Network(2, 4, False).parameters())


def test_labels_of_test_clips_have_no_say(root):
    _, before = train(root, "before", passes=2)
    table = manifest.read(root / CLIPS)
    table.loc[table["fold"] == "1", "label"] = "low"
    manifest.write(root / CLIPS, table)
    _, after = train(root, "after", passes=2)
    one, other = (pd.read_parquet(folder / "predictions.parquet") for folder in (before, after))
    assert np.array_equal(one[one["fold"] == "1"]["score_low"], other[other["fold"] == "1"]["score_low"])
    assert not np.array_equal(one[one["fold"] == "2"]["score_low"], other[other["fold"] == "2"]["score_low"]), "the others trained on them"


def test_interrupted_in_a_fold_and_resumed_equals_uninterrupted(root, monkeypatch):
    _, whole = train(root, "whole", passes=3, look_passes=1)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    original, calls = stage.save_checkpoint, []

    def stopping(folder, state):
        original(folder, state)
        calls.append(state.get("step", 0))
        if len(calls) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(stage, "save_checkpoint", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(root, "parts", passes=3, look_passes=1)
    monkeypatch.setattr(stage, "save_checkpoint", original)
    _, parts = train(root, "parts", passes=3, look_passes=1)
    for file in ("scores.json", "predictions.parquet"):
        assert (parts / file).read_bytes() == (whole / file).read_bytes(), file
    assert calls[:4] == [1, 2, 3, 0] and calls[-1] == 3, "in the second fold"


def test_stretches_are_the_front_ends_and_cover_the_clip():
    features = VGGish()
    sound = np.random.default_rng(0).standard_normal(40000).astype(np.float32) * 0.1
    levels = pictures(sound, features)
    cut = side_by_side(levels, 96)
    expected = features(torch.from_numpy(np.stack([sound[:15600], sound[15360:30960]])))
    assert torch.allclose(cut[:2], expected, atol=1e-5) and torch.equal(cut[-1, 0], levels[-96:]) and len(cut) == 3
    assert pictures(sound[:500], features).shape == (96, 64), "a short clip is one stretch"
    one = drawn([levels, levels], 96, torch.Generator().manual_seed(0))
    assert one.shape == (2, 1, 96, 64) and any(torch.equal(one[0, 0], levels[at : at + 96]) for at in range(len(levels) - 95))


def test_several_labels_are_scored_by_average_precision_and_wrong_settings_refused(root):
    table = manifest.read(root / CLIPS)
    table["label"] = [f"{label};tone" if number % 3 else label for number, label in enumerate(table["label"])]
    manifest.write(root / CLIPS, table)
    result, _ = train(root, passes=2, label_separator=";")
    assert result.metric == "mAP" and set(result.per_class_score) == {"low", "high", "tone"}
    with pytest.raises(InvalidValueError, match="passes"):
        Settings(passes=0)
