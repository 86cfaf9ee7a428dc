"""Who made a recording goes into the manifest, from a table of its own or from the table of clips, and survives publishing."""

import csv
import json

import numpy as np
import pytest
import soundfile

from core import audio, manifest
from core.context import Context
from core.datasets import lineage, versions
from core.errors import InvalidValueError
from tasks.prepare.spec import Request, Settings
from tasks.prepare.stage import run

RATE = 16000


def table(path, header, *rows):
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])


def prepared(root, folder, data_root, **settings):
    """Run the stage on a root with clips in three splits and return its manifest."""
    output = data_root / folder
    output.mkdir(parents=True)
    context = Context(output, data_root, final=folder, emit=lambda kind, values: None)
    run(Request(str(root / "clips.csv"), str(root), Settings(split_column="split", **settings)), context)
    return manifest.read(output)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "set"
    for number, name in enumerate(("a/1.wav", "b/1.wav", "b/2.wav")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, 0.3 * np.sin(np.arange(8000) * (0.05 + 0.01 * number)), RATE)
    table(root / "clips.csv", ("path", "label", "split", "license", "artist"), ("a/1.wav", "x", "train", "CC0", "ann"),
          ("b/1.wav", "x", "val", "", ""), ("b/2.wav", "y", "test", "", ""))  # fmt: skip
    return root


def attributions(rows):
    return {json.loads(text)["source_path"]: json.loads(text).get(lineage.KEY) for text in rows["parameters"]}


def test_columns_of_the_table_are_taken_where_there_is_no_other(root, tmp_path):
    found = attributions(prepared(root, "stages/prepare/1", tmp_path))
    assert found == {"a/1.wav": {"licence": "CC0", "author": "ann"}, "b/1.wav": None, "b/2.wav": None}


def test_attribution_csv_is_found_by_path_and_by_names_that_are_unique(root, tmp_path):
    table(root / "ATTRIBUTION.csv", ("file", "licence", "author", "licence_url"), ("b/1.wav", "CC-BY", "bob", "http://l"),
          ("1.wav", "CC-BY", "nobody: two files have this name", ""), ("2.wav", "CC-BY-NC", "cat", ""))  # fmt: skip
    found = attributions(prepared(root, "stages/prepare/1", tmp_path))
    assert found["b/1.wav"] == {"licence": "CC-BY", "author": "bob", "licence_url": "http://l"}
    assert found["b/2.wav"] == {"licence": "CC-BY-NC", "author": "cat"} and found["a/1.wav"] == {"licence": "CC0", "author": "ann"}


@pytest.mark.parametrize(("name", "said"), [("gone.csv", "missing_file"), ("../x.csv", "outside_root"), ("clips2.csv", "names no files")])
def test_a_table_that_is_none_is_refused(root, tmp_path, name, said):
    table(root / "clips2.csv", ("clip", "licence"), ("1", "CC0"))
    with pytest.raises(InvalidValueError, match=said):
        prepared(root, "stages/prepare/1", tmp_path, attribution=name)


def test_a_published_version_comes_in_again_with_splits_captions_and_attributions(root, tmp_path):
    rows = prepared(root, "stages/prepare/1", tmp_path)
    rows["caption"] = [f"a sound {number}" for number in range(len(rows))]
    manifest.write(tmp_path / "stages/prepare/1", rows)
    folder, _ = versions.publish(tmp_path, "set", "audiofolder", ["stages/prepare/1"])
    again = prepared(folder, "stages/prepare/2", tmp_path)
    assert set(again["status"]) == {"accepted"} and sorted(again["split"]) == ["test", "train", "val"]
    by_sound = {row["sha256"]: row for row in rows.to_dict("records")}
    for row in again.to_dict("records"):
        before = by_sound[json.loads(row["parameters"])["source_sha256"]]
        assert all(row[name] == before[name] for name in ("label", "caption", "split", "duration_s", "sample_rate_hz"))
        assert np.array_equal(audio.read(tmp_path / row["path"])[0], audio.read(tmp_path / before["path"])[0])
        assert json.loads(row["parameters"]).get(lineage.KEY) == json.loads(before["parameters"]).get(lineage.KEY)
