import json

import pytest
import torch

from core import audio, manifest
from core.errors import InvalidValueError
from tasks.train_contrastive.sources import open_source
from tasks.train_contrastive.spec import Request, Settings
from tests.tasks.train_contrastive.runs import context_for, tone, train

FOLDER = "stages/synthesize/aa"


@pytest.fixture
def root(tmp_path):
    """Eight train pairs, two validation pairs, one pair with a silent view."""
    rows = []
    for number in range(11):
        for view in "ab":
            path = f"{FOLDER}/audio/{number}-{view}.flac"
            audio.write(tmp_path / path, tone(200 + 100 * number + 10 * (view == "b"), 1.0), 16000)
            about = {"pair": f"{number:07d}", "view": view, "unit": [number / 10, 0.5]}
            status = "rejected" if (number, view) == (10, "b") else "accepted"
            split = "val" if number in (3, 7) else "train"
            rows.append(manifest.row(f"{number}{view}", path, "synthesize", split=split, parameters=about, status=status))
    manifest.write(tmp_path / FOLDER, manifest.frame(rows))
    return tmp_path


def test_every_train_pair_comes_once_a_pass_and_views_belong_together(root):
    source = open_source(Request(pairs=FOLDER, seed=3), context_for(root, "a"))
    first, second = source.keys(0, 8), source.keys(1, 8)
    assert len(source.names) == 10 and source.clips == 0
    names = [source.identity(key).split(":")[0] for key in first]
    assert sorted(names) == sorted(f"{n:07d}" for n in (0, 1, 2, 4, 5, 6, 8, 9)), "not the validation pairs, nor the one that lost a view"
    assert sorted(source.identity(key).split(":")[0] for key in second) == sorted(names) and [k % 10 for k in first] != [
        k % 10 for k in second
    ]
    views = source.views(first)
    for row, name in enumerate(names):
        assert torch.allclose(views.first[row], torch.from_numpy(tone(200 + 100 * int(name), 1.0)), atol=1e-6)
        assert torch.allclose(views.second[row], torch.from_numpy(tone(210 + 100 * int(name), 1.0)), atol=1e-6)
        assert views.parameters["first"][row].tolist() == pytest.approx([int(name) / 10, 0.5])
    assert {source.identity(key) for key in source.held_out(0, 8)} == {"0000003:0", "0000007:0"}


def test_a_training_on_stored_pairs_resumes_in_the_same_order_and_says_so(root):
    result, output = train(root, pairs=FOLDER, batch_pairs=4, pairs_per_epoch=16, sample_pairs=1)
    assert result.steps == 6 and result.clips == 0 and result.saturation is None
    assert json.loads((output / "pairs/pairs.json").read_text())[0]["pair"] == "0000003:0"
    again, other = train(root, "again", pairs=FOLDER, batch_pairs=4, pairs_per_epoch=16, sample_pairs=1)
    assert (output / "model.pt").read_bytes() == (other / "model.pt").read_bytes() and again == result


def test_folders_without_pairs_are_refused(root):
    table = manifest.read(root / FOLDER)
    table["parameters"] = "{}"
    manifest.write(root / "stages/synthesize/bb", table)
    with pytest.raises(InvalidValueError, match="too few pairs"):
        open_source(Request(pairs="stages/synthesize/bb"), context_for(root, "a"))
    with pytest.raises(InvalidValueError, match="one source"):
        Request(pairs=FOLDER, clips="stages/x/aa")
    with pytest.raises(InvalidValueError, match="real sounds only"):
        Request(pairs=FOLDER, settings=Settings(temporal_jitter=True))
