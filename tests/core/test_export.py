"""Exports are opened with the real libraries they are meant for."""

import json

import numpy as np
import pandas as pd
import pytest

from core import audio, export, manifest
from core.errors import InvalidValueError


@pytest.fixture
def clips(tmp_path):
    """Six tones in a store, one rejected; returns (root, table)."""
    rows = []
    for number in range(6):
        tone = np.sin(2 * np.pi * (200 + 100 * number) * np.arange(1600) / 16000).astype(np.float32) * 0.5
        path = f"stages/prepare/aa/audio/{number}.wav"
        audio.write(tmp_path / path, tone, 16000)
        values = {"status": "rejected", "reason": "silent"} if number == 5 else {}
        split = ("train", "val", "test")[number % 3]
        values |= {"label": 'he said "hi", ünd_так', "caption": "a tone", "split": split, "duration_s": 0.1, "sample_rate_hz": 16000}
        rows.append(manifest.row(f"id{number:014d}", path, "gold", channels=1, **values))
    manifest.write(tmp_path / "stages/prepare/aa", manifest.frame(rows))
    return tmp_path, export.collect(tmp_path, ["stages/prepare/aa"])


def test_rejected_clips_stay_behind_and_twice_is_once(clips):
    root, table = clips
    assert len(table) == 5
    assert len(export.collect(root, ["stages/prepare/aa", "stages/prepare/aa"])) == 5


def test_audiofolder_opens_with_datasets(clips, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    from datasets import load_dataset

    root, table = clips
    target = export.export("audiofolder", table, root, tmp_path / "out")
    with pd.option_context("future.infer_string", False):  # datasets 3.6 does not know pandas 3's string type
        loaded = load_dataset("audiofolder", data_dir=str(target), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in loaded.items()} == {"train": 2, "validation": 2, "test": 1}
    assert set(loaded["train"]["label"]) == {'he said "hi", ünd_так'}


def test_webdataset_opens_and_is_deterministic(clips, tmp_path):
    import webdataset

    root, table = clips
    first, second = (export.export("webdataset", table, root, tmp_path / name) for name in ("one", "two"))
    assert (first / "train-000000.tar").read_bytes() == (second / "train-000000.tar").read_bytes()
    samples = list(webdataset.WebDataset(str(first / "train-000000.tar"), shardshuffle=False))
    assert len(samples) == 2 and json.loads(samples[0]["json"])["caption"] == "a tone" and samples[0]["wav"][:4] == b"RIFF"


def test_csv_keeps_every_column_and_awkward_labels(clips, tmp_path):
    root, table = clips
    path = export.export("csv", table, root, tmp_path / "out") / "clips.csv"
    back = pd.read_csv(path)
    assert list(back["label"].unique()) == ['he said "hi", ünd_так'] and (root / back["path"][0]).is_file()


def test_unknown_form_and_existing_target_are_refused(clips, tmp_path):
    root, table = clips
    with pytest.raises(InvalidValueError, match="audiofolder"):
        export.export("zip", table, root, tmp_path / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(InvalidValueError, match="exists already"):
        export.export("csv", table, root, tmp_path / "there")
    assert not [item for item in tmp_path.iterdir() if ".tmp" in item.name]
