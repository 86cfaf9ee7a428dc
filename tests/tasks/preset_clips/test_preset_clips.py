"""A preset set, written here, becomes a dataset folder."""

import json

import numpy as np
import pandas as pd
import pytest

from core import atomic, audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.preset_clips.spec import Request, Settings
from tasks.preset_clips.stage import caption_of, run
from tasks.presets.parameters import Parameter, SynthSpec

SPEC = SynthSpec("small", (Parameter(0, "level", "num"), Parameter(1, "wave", "cat", cardinality=3)))
SET = "stages/render_presets/aa"


@pytest.fixture
def root(tmp_path):
    """Five presets of three splits, one of them much too loud; the sounds of the first four were kept."""
    folder = tmp_path / SET
    folder.mkdir(parents=True)
    tones = np.sin(np.arange(1600) * np.array([[0.05], [0.1], [0.2], [0.4]])) * np.array([[0.1], [3.0], [0.01], [0.5]])
    np.save(folder / "audio.npy", tones.astype(np.float16))
    np.save(folder / "parameters.npy", SPEC.sample(0, 0, 5))
    table = {"row": range(5), "index": [0, 1, 3, 4, 7], "tries": 1, "rms": 0.1, "note": [60, 69, 21, 61, 60], "velocity": 100,
             "split": ["train", "train", "val", "test", "train"], "name": ["", "E.PIANO 1", "", "", ""],
             "labels": ["[]", '["electric piano", "soft"]', "[]", "[]", "[]"]}  # fmt: skip
    pd.DataFrame(table).to_parquet(folder / "table.parquet")
    meta = {"spec": SPEC.to_json(), "spec_digest": SPEC.digest, "sample_rate_hz": 16000, "audio_model": "", "dimensions": 0, "rows": 5,
            "seed": 3, "origin": "sampled"}  # fmt: skip
    atomic.write_json(folder / "presets.json", meta)
    return tmp_path


def clips(root, name="aa", **settings):
    output = root / "stages/preset_clips" / name
    output.mkdir(parents=True)
    context = Context(output, root, final=f"stages/preset_clips/{name}", emit=lambda *_: None)
    return run(Request(SET, Settings(**settings)), context), manifest.read(output)


def test_kept_sounds_become_clips_at_one_level_in_their_own_split(root):
    result, table = clips(root)
    assert (result.clips, result.labels, result.seconds) == (4, 2, 0.4)
    assert table["split"].tolist() == ["train", "train", "val", "test"] and table["clip_id"].is_unique
    assert table["label"].tolist() == ["synthesizer note", "electric piano", "synthesizer note", "synthesizer note"]
    for row in table.itertuples():
        samples, rate = audio.read(root / row.path)
        assert rate == 16000 and samples.shape == (1, 1600) and 10 * np.log10(np.mean(samples**2)) == pytest.approx(-20, abs=0.05)
    with pytest.raises(InvalidValueError):
        manifest.require_train(table, "elsewhere")


def test_a_clip_knows_its_preset_and_is_told_by_what_is_true_of_it(root):
    _, table = clips(root)
    told = json.loads(table["parameters"][1])
    assert told == {"synth": "small", "preset": "E.PIANO 1", "row": 1, "index": 1, "note": 69, "velocity": 100, "seed": 3}
    assert (
        table["caption"][1] == "Electric piano played on a synthesizer, the note A 4" and json.loads(table["parameters"][2])["index"] == 3
    )
    assert [caption_of("x", note).split("note ")[1] for note in (21, 60, 61)] == ["A 0", "C 4", "C sharp 4"]


def test_loud_clips_do_not_clip_and_settings_count(root):
    _, table = clips(root, level_dbfs=-1.0, label="patch")
    assert table["label"][0] == "patch"
    assert all(np.abs(audio.read(root / path)[0]).max() <= 0.98 for path in table["path"])


def test_sets_without_sounds_are_refused(root):
    (root / SET / "audio.npy").unlink()
    with pytest.raises(InvalidValueError, match="without sounds"):
        clips(root)
