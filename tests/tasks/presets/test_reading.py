import json

import numpy as np
import pandas as pd
import pytest

from core.errors import InvalidValueError
from tasks.presets import library, reading


def written(folder, rows=4, **changed):
    spec = library.load_spec("amsynth")
    folder.mkdir()
    meta = {
        "spec": spec.to_json(), "spec_digest": spec.digest, "backend": "dawdreamer", "plugin": {"name": "amsynth", "sha256": "ab"},
        "midi": {"notes": [60], "velocities": [100], "hold_s": 2.0}, "sample_rate_hz": 32000, "duration_s": 5.0, "fade_s": 0.1,
        "audio_model": "mel", "dimensions": 6, "rows": rows, "seed": 1, "origin": "sampled", "names": None, **changed,
    }  # fmt: skip
    (folder / "presets.json").write_text(json.dumps(meta))
    np.save(folder / "parameters.npy", spec.sample(1, 0, rows))
    np.save(folder / "embeddings.npy", np.ones((rows, 6), np.float32))
    split = ["train", "val"] * (rows // 2)
    pd.DataFrame({"row": range(rows), "split": split}).to_parquet(folder / "table.parquet")
    return folder


def test_a_set_is_mapped_not_read(tmp_path):
    found = reading.open_presets(written(tmp_path / "a"))
    assert isinstance(found.parameters, np.memmap) and isinstance(found.embeddings, np.memmap)
    assert len(found) == 4 and found.layout.width == 51 and found.audio is None and found.mel is None
    assert found.rows("val").tolist() == [1, 3] and found.rows().tolist() == [0, 1, 2, 3]
    assert np.array_equal(found.parameters, found.spec.sample(1, 0, 4))
    assert len(reading.open_presets(written(tmp_path / "none", rows=0))) == 0


def test_sets_that_were_made_differently_do_not_go_together(tmp_path):
    first = reading.open_presets(written(tmp_path / "a"))
    reading.check_agreement(first, reading.open_presets(written(tmp_path / "b", rows=2, seed=9, origin="hand_crafted")))
    for number, (name, other) in enumerate({
        "plugin": {"name": "amsynth", "sha256": "cd"}, "midi": {"notes": [48], "velocities": [100], "hold_s": 2.0},
        "sample_rate_hz": 48000, "audio_model": "mn04", "duration_s": 4.0, "backend": "pedalboard", "fade_s": 0.0,
    }.items()):  # fmt: skip
        with pytest.raises(InvalidValueError, match=name):
            reading.check_agreement(first, reading.open_presets(written(tmp_path / str(number), **{name: other})))


def test_broken_sets_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="no preset set"):
        reading.open_presets(tmp_path)
    folder = written(tmp_path / "a")
    np.save(folder / "embeddings.npy", np.ones((3, 6), np.float32))
    with pytest.raises(InvalidValueError, match="embeddings"):
        reading.open_presets(folder)
    np.save(folder / "parameters.npy", np.asarray([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        reading.open_presets(folder)
    with pytest.raises(InvalidValueError, match="spec_digest"):
        reading.open_presets(written(tmp_path / "b", spec_digest="0"))
