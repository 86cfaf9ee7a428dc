import json

import numpy as np
import pytest
import torch

from core import audio
from core.context import Context
from core.contract import build
from core.errors import InvalidValueError
from tasks.clap_model import loading
from tasks.clap_model.windows import windows
from tasks.rank_audio_models import kept_sounds
from tasks.rank_audio_models import stage as ranking
from tasks.rank_audio_models.spec import Request as StudyRequest
from tasks.rank_clap import stage
from tasks.rank_clap.spec import Request, Settings
from tests.tasks.train_sound_matcher.toy import HerePool

STUDY, SILENT, CLAP = "stages/rank_audio_models/aa", "stages/rank_audio_models/bb", "stages/train_clap/aa"
ONLY = ["filter_cutoff", "coarse_pitch", "lfo_amount_amp"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two studies by the built-in synthesiser, one of which kept its sounds, and a compact CLAP."""
    root = tmp_path_factory.mktemp("rank")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "Pool", HerePool)
        for folder, keep in ((STUDY, True), (SILENT, False)):
            given = {
                "synth": "builtin_voice", "only": ONLY, "presets": 2, "steps": 5, "duration_s": 0.5, "hold_s": 0.3, "fade_s": 0.0,
                "models": [{"name": "mel"}, {"name": "mstft"}], "keep_sounds": keep,
            }  # fmt: skip
            (root / folder).mkdir(parents=True)
            context = Context(root / folder, root, emit=lambda kind, values: None)
            request = build(StudyRequest, {"settings": given, "shards": 2})
            ranking.run_shards(request, context, [0, 1])
            ranking.run(request, context)
    torch.manual_seed(0)
    (root / CLAP).mkdir(parents=True)
    loading.CompactClap(loading.CompactConfig()).save(root / CLAP, {})
    return root


def rank(root, name, study=STUDY, shards=2, **settings):
    output = root / "stages/rank_clap" / name
    output.mkdir(parents=True)
    context = Context(output, root, emit=lambda kind, values: None)
    request = Request(study, CLAP, shards, Settings(**settings))
    for shard in reversed(range(shards)):
        stage.run_shards(request, context, [shard])
    return stage.run(request, context), output


def test_clap_is_in_the_table_by_its_own_correlations(root):
    result, output = rank(root, "first")
    before, after = (json.loads((folder / "ranking.json").read_text()) for folder in (root / STUDY, output))
    rows = json.loads((output / "correlations.json").read_text())
    others = [row for row in rows if row["model"] != "clap"]
    assert others == json.loads((root / STUDY / "correlations.json").read_text()) and len(rows) - len(others) == 3 * 2 * 3
    assert [row for row in after["rows"] if row["model"] != "clap"] == before["rows"], "the others stand as they stood"
    model, _ = loading.load(root / CLAP, "", "", "cpu")
    for row in (row for row in rows if row["model"] == "clap" and row["distance"] == "l1"):
        sounds = kept_sounds.opened(root / STUDY, before["sounds"][row["attribute"]])[row["preset"]]
        cut = [windows(audio.resample(np.array(sound), 32000, 16000), 32000) for sound in sounds]
        with torch.inference_mode():
            vectors = np.stack([model.audio_embedding(one).mean(0).numpy() for one in cut]).astype(float)
        ends = []
        for end, order in ((0, np.arange(5)), (4, np.arange(5)[::-1])):
            ranks = np.argsort(np.argsort(np.abs(vectors - vectors[end]).sum(1)))
            ends.append(np.corrcoef(ranks, order)[0, 1])
        assert row["correlation"] == pytest.approx(np.mean(ends)), row
    clap = [row for row in after["rows"] if row["model"] == "clap"]
    assert {row["distance"] for row in clap} == {"l1", "l2", "cosine"} and {row["dimensions"] for row in clap} == {64}
    assert all(row["identity"].startswith("clap:") and set(row["attributes"]) == set(ONLY) for row in clap)
    assert after["rows"] == sorted(after["rows"], key=lambda row: -row["correlation"]) and after["synth"] == before["synth"]
    assert (result.models, result.sounds, result.best) == (3, 30, after["rows"][0]["model"])
    assert after["rows"][result.place - 1] == clap[0] and result.correlation == clap[0]["correlation"] and "clap" in result.table


def test_number_of_shards_plays_no_part_and_a_reduction_has_its_identity(root):
    tables = []
    for name, shards in (("one", 1), ("seven", 7)):
        _, output = rank(root, name, shards=shards)
        tables.append({json.dumps(row, sort_keys=True) for row in json.loads((output / "correlations.json").read_text())})
    assert tables[0] == tables[1]
    _, output = rank(root, "max", title="CLAP, max", reduction="max")
    told = [row for row in json.loads((output / "ranking.json").read_text())["rows"] if row["model"] == "CLAP, max"]
    assert len(told) == 3 and all(row["identity"].endswith("/max") for row in told)


def test_what_cannot_be_ranked_is_refused(root):
    with pytest.raises(InvalidValueError, match=r"keep_sounds=true"):
        rank(root, "silent", study=SILENT)
    with pytest.raises(InvalidValueError, match="called so"):
        rank(root, "twice", title="mel")
    with pytest.raises(InvalidValueError, match=r"rank_clap\.checkpoint"):
        Request(STUDY, "")
