"""Exports are opened with the real libraries they are meant for: datasets, webdataset and lhotse."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from datasets import load_dataset
from lhotse import CutSet, RecordingSet, SupervisionSet
from webdataset import WebDataset

from core import audio
from core.datasets import export, versions
from tests import datasets as toy


@pytest.fixture
def clips(tmp_path):
    """Gold and synthetic clips in a store, one rejected; returns (root, table)."""
    root = tmp_path / "data"
    folders = [toy.gold(root), toy.made(root)]
    return root, export.collect(root, folders)


def loaded(*words, cache, **options):
    with pd.option_context("future.infer_string", False):  # datasets 3.6 does not know pandas 3's string type
        return load_dataset(*words, cache_dir=str(cache), **options)


def test_audiofolder_opens_with_datasets_and_gives_back_every_clip(clips, tmp_path):
    root, table = clips
    target = export.export("audiofolder", table, root, tmp_path / "out")
    opened = loaded("audiofolder", data_dir=str(target), cache=tmp_path / "cache")
    assert {name: len(part) for name, part in opened.items()} == {"train": 4, "validation": 2, "test": 2}
    rows = {row["clip_id"]: row for row in table.to_dict("records")}
    for part in opened.values():
        for item in part:
            row = rows.pop(item["clip_id"])
            there, rate_hz = audio.read(root / row["path"])
            assert np.array_equal(item["audio"]["array"].astype(np.float32), there[0]) and item["audio"]["sampling_rate"] == rate_hz
            assert item["label"] == row["label"] and (item["caption"] or "") == row["caption"] and item["licence"] == row["licence"]
    assert not rows


def test_webdataset_opens_gives_back_every_clip_and_is_deterministic(clips, tmp_path):
    root, table = clips
    first, second = (export.export("webdataset", table, root, tmp_path / name) for name in ("one", "two"))
    assert (first / "train-000000.tar").read_bytes() == (second / "train-000000.tar").read_bytes()
    shards = [str(path) for path in sorted(first.glob("*.tar"))]
    samples = {item["__key__"]: item for item in WebDataset(shards, shardshuffle=False)}
    assert samples.keys() == set(table["clip_id"])
    for row in table.to_dict("records"):
        item = samples[row["clip_id"]]
        text = json.loads(item["json"])
        assert (text["label"], text["caption"], text["split"]) == (row["label"], row["caption"], row["split"])
        assert np.array_equal(soundfile.read(io.BytesIO(item["flac"]), dtype="float32")[0], audio.read(root / row["path"])[0][0])


def test_a_published_version_opens_by_its_card_with_every_split(tmp_path):
    """The card's ``configs`` say where the splits lie: the whole folder opens, as it does from the hub."""
    for form in ("audiofolder", "webdataset"):
        folder, _ = versions.publish(tmp_path / "data", form, form, [toy.gold(tmp_path / "data"), toy.made(tmp_path / "data")])
        opened = loaded(str(folder), cache=tmp_path / "cache")
        assert {name: len(part) for name, part in opened.items()} == {"train": 4, "validation": 2, "test": 2}
        assert len(next(iter(opened["train"]))[{"audiofolder": "audio", "webdataset": "flac"}[form]]["array"]) == 1600
        by_name = loaded("audiofolder", data_dir=str(folder), cache=tmp_path / "cache") if form == "audiofolder" else opened
        assert {name: len(part) for name, part in by_name.items()} == {"train": 4, "validation": 2, "test": 2}


def test_lhotse_opens_gives_back_every_clip_and_is_deterministic(clips, tmp_path):
    root, table = clips
    first, second = (export.export("lhotse", table, root, tmp_path / name) for name in ("one", "two"))
    names = sorted(path.name for path in first.glob("*.jsonl.gz"))
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    cuts = CutSet.from_file(first / "cuts.jsonl.gz").with_recording_path_prefix(first).to_eager()
    recordings, supervisions = (
        RecordingSet.from_file(first / "recordings.jsonl.gz"),
        SupervisionSet.from_file(first / "supervisions.jsonl.gz"),
    )
    assert len(cuts) == len(recordings) == len(supervisions) == len(table)
    for row in table.to_dict("records"):
        cut = cuts[row["clip_id"]]
        assert np.array_equal(cut.load_audio(), audio.read(root / row["path"])[0]) and cut.sampling_rate == row["sample_rate_hz"]
        (said,) = cut.supervisions
        assert (said.text, said.custom["label"], said.custom["split"]) == (row["caption"], row["label"], row["split"])
    assert {name: len(list(CutSet.from_file(first / f"cuts_{name}.jsonl.gz"))) for name in ("train", "val", "test")} == {
        "train": 4,
        "val": 2,
        "test": 2,
    }


def test_lhotse_takes_several_channels_and_other_rates(tmp_path):
    root = tmp_path / "data"
    toy.gold(root, count=3)
    stereo = np.stack([toy.tone(300, rate_hz=44100), toy.tone(500, rate_hz=44100)])
    table = export.collect(root, [toy.GOLD])
    audio.write(root / table["path"][0], stereo, 44100)
    target = export.export("lhotse", table, root, tmp_path / "out")
    cut = CutSet.from_file(target / "cuts.jsonl.gz").with_recording_path_prefix(target).to_eager()[table["clip_id"][0]]
    assert cut.load_audio().shape == (2, 4410) and cut.sampling_rate == 44100 and np.allclose(cut.load_audio(), stereo, atol=1e-6)
