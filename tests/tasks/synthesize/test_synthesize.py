import json

import numpy as np
import pytest
import torch

from core import audio, keys, manifest
from core.context import Context
from core.contract import build as built
from core.errors import InvalidValueError
from tasks.synthesiser import build, draws
from tasks.synthesiser.pairs import Pairs
from tasks.synthesize import stage
from tasks.synthesize.spec import Request, Settings

SMALL = {"duration_s": 0.1, "sample_rate_hz": 8000}


def made(root, name="set", done=(), **settings):
    request = Request(Settings(**{**SMALL, **settings}), shards=3, batch=settings.get("n", 10) if name == "whole" else 4)
    output = root / "stages" / name
    output.mkdir(parents=True, exist_ok=True)
    context = Context(output, root, final=f"stages/{name}", emit=lambda kind, values: None)
    stage.run_shards(request, context, [shard for shard in range(3) if shard not in done])
    return stage.run(request, context), output, manifest.read(output)


def test_pairs_are_written_with_their_parameters(tmp_path):
    result, output, table = made(tmp_path, n=10, val_share=0.3, group_deltas={"pitch": 0.01})
    assert result.clips == len(table) == 20 and result.parameters == 78 and result.seconds == pytest.approx(2.0)
    assert 0.1 < result.saturation < 0.3 and result.silent == (table["status"] == "rejected").sum() and result.not_finite == 0
    units, told = np.load(output / "parameters.npy"), json.loads((output / "synthesiser.json").read_text())
    synthesiser = build("voice", 8000, 0.1)
    assert [one["name"] for one in told["parameters"]] == [one.name for one in synthesiser.parameters]
    pairs = Pairs(synthesiser, 0.25, group_deltas={"pitch": 0.01})
    for place, row in enumerate(table.to_dict("records")):
        parameters = json.loads(row["parameters"])
        assert np.array_equal(np.float32(parameters["unit"]), units[place]) and row["label"] == "voice"
        assert parameters["view"] == "ab"[place % 2] and int(parameters["pair"]) == place // 2
        pair = pairs.batch([parameters["seed"]])
        samples, rate = audio.read(tmp_path / row["path"].replace("stages/set", "stages/set"))
        expected = (pair.first, pair.second)[place % 2][0].numpy()
        assert rate == 8000 and np.abs(samples[0] - expected).max() < 2**-22
        assert keys.file_digest(tmp_path / row["path"]) == row["sha256"]
    splits = table["split"].to_numpy()
    assert set(splits) <= {"train", "val"} and (splits[::2] == splits[1::2]).all(), "both of a pair in one split"


def test_neither_shards_nor_batches_nor_the_number_of_draws_change_a_sound(tmp_path):
    _, _, few = made(tmp_path, n=7)
    _, _, many = made(tmp_path, "whole", n=10)
    columns = ["clip_id", "sha256", "split", "parameters"]
    assert few[columns].equals(many[columns][:14])
    _, _, moved = made(tmp_path, "other", n=7, seed=1)
    assert not set(moved["sha256"]) & set(many["sha256"]) and not set(moved["clip_id"]) & set(many["clip_id"])


def test_an_interrupted_run_goes_on_at_its_first_missing_shard(tmp_path, monkeypatch):
    _, _, expected = made(tmp_path, "expected", n=8)
    request = Request(Settings(**SMALL, n=8), shards=3, batch=4)
    context = Context(tmp_path / "cut", tmp_path, final="stages/expected", emit=lambda kind, values: None)
    written = stage._written
    monkeypatch.setattr(stage, "_written", lambda settings, folder, numbers, *rest: (
        written(settings, folder, numbers, *rest) if numbers[0] < 5 else pytest.fail("cut off")))  # fmt: skip
    with pytest.raises(pytest.fail.Exception):
        stage.run_shards(request, context, [0, 1, 2])
    assert [context.shard_is_done(shard) for shard in range(3)] == [True, True, False]
    monkeypatch.undo()
    stage.run_shards(request, context, [2])
    stage.run(request, context)
    assert manifest.digest(manifest.read(context.output)) == manifest.digest(expected)


def test_single_sounds_and_silent_ones(tmp_path, monkeypatch):
    real = stage.synthesiser_of

    def with_one_silent(settings):
        synthesiser = real(settings)
        render = synthesiser.render
        monkeypatch.setattr(synthesiser, "render", lambda u, seeds: render(u, seeds) * (u[:, :1] != silent[:, :1]))
        return synthesiser

    seeds = stage.seeds_of(Settings(**SMALL, n=5), range(5))
    silent = build("voice", 8000, 0.1).draw(seeds[3:4])
    monkeypatch.setattr(stage, "synthesiser_of", with_one_silent)
    result, output, table = made(tmp_path, n=5, pairs=False, form="wav", filtered=False)
    assert result.clips == 5 and result.saturation == 0 and table["path"][0].endswith("voice-0000000.wav")
    assert table["status"][3] == "rejected" and table["reason"][3] == "silent" and result.silent == (table["status"] == "rejected").sum()
    assert np.array_equal(np.load(output / "parameters.npy"), build("voice", 8000, 0.1).draw(seeds).numpy())
    sound = build("voice", 8000, 0.1).render(torch.from_numpy(np.load(output / "parameters.npy")[:1]), seeds[:1])
    assert np.abs(audio.read(tmp_path / table["path"][0])[0] - sound.numpy()).max() <= 2**-15


def test_splits_follow_their_shares():
    seeds = stage.seeds_of(Settings(), range(3000))
    splits = stage.splits_of(Settings(val_share=0.2, test_share=0.1), seeds)
    assert [splits.count(name) / 3000 for name in ("train", "val", "test")] == pytest.approx([0.7, 0.2, 0.1], abs=0.025)
    assert draws.EVENTS + 16 * 64 > stage.SPLIT_STREAM and stage.SPLIT_STREAM % 16 != draws.EVENTS


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"synth": "organ"}, "voice"), ({"n": 0}, "n"), ({"val_share": 0.8, "test_share": 0.3}, "val_share"), ({"frozn": []}, "frozen")],
)
def test_wrong_requests_are_refused(wrong, said):
    with pytest.raises(InvalidValueError, match=said):
        built(Request, {"settings": wrong})
