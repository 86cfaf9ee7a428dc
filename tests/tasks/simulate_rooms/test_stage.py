"""Whole runs: the catalogue and its files, shards, resuming, words by the measured T30, the published way, a failing self-test."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from pyroomacoustics.experimental import measure_rt60

from core.context import Context
from core.contract import build, to_dict
from core.errors import InvalidValueError
from tasks.simulate_rooms import drawing, self_test, simulator, stage
from tasks.simulate_rooms.spec import Ranges, Request, Settings, Split
from tasks.spatial import catalogue, foa, words

SMALL = {"sample_rate_hz": 16000, "max_images": 8000, "val": Split(), "test": Split()}


def made(root, name="rooms", shards=2, geometry="", **settings):
    request = Request(Settings(**{**SMALL, **settings}), geometry, shards)
    output = root / "stages" / name
    output.mkdir(parents=True, exist_ok=True)
    context = Context(output, root, emit=lambda kind, values: None)
    stage.run_shards(request, context, [shard for shard in range(shards) if not context.shard_is_done(shard)])
    return stage.run(request, context), catalogue.open_catalogue(output)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return made(tmp_path_factory.mktemp("plain"), train=Split("random", 24), val=Split("random", 4), test=Split("random", 4))


def test_the_catalogue_says_what_its_files_hold(plain):
    result, found = plain
    assert result.responses == len(found) == 32 and result.rooms == 32 and result.unreachable == 0 and result.clipped == 0
    assert list(found.table.columns) == list(catalogue.COLUMNS) and found.meta["splits"] == {"train": 24, "val": 4, "test": 4}
    assert found.convention == foa.AMBIX and found.meta["delay_samples"] == 40 and found.sample_rate_hz == 16000
    assert found.table["split"].tolist() == ["train"] * 24 + ["val"] * 4 + ["test"] * 4
    for row, line in found.table.iterrows():
        rir = found.rir(row)
        assert rir.dtype == np.float32 and rir.shape[0] == 4 and np.abs(rir).max() == pytest.approx(line["peak"])
        assert soundfile.info(found.folder / line["rir_path"]).subtype == "FLOAT"
        assert b"PEAK" not in (found.folder / line["rir_path"]).read_bytes(), "no time of day: the same response has the same bytes"
        arrival = round(40 + line["source_distance_m"] / 343 * 16000)
        assert float(foa.apart_deg(foa.direction(rir[:, arrival - 6 : arrival + 7]), (line["azimuth_deg"], line["elevation_deg"]))) < 30
        assert words.descriptor_id(words.describe(line)) == line["descriptor_id"]
        assert line["fullband_T30_ms"] == line["t30_measured_ms"]
    train = found.table[found.table["split"] == "train"]
    for name in catalogue.PHYSICAL:
        assert found.meta["statistics"][name] == {"mean": pytest.approx(train[name].mean()), "sd": pytest.approx(train[name].std(ddof=0))}
    assert found.meta["self_test"]["gain_error"] <= 1e-3 and result.gain_error <= 1e-3 and found.meta["self_test"]["wrong_side"] == 0


def test_caption_words_follow_an_independent_measurement(plain):
    _, found = plain
    agree = []
    for row, line in found.table.iterrows():
        omni = found.rir(row)[0].astype(float)
        start = round(40 + line["source_distance_m"] / 343 * 16000) + (40 if line["direct_excluded"] else 0)
        agree.append(words.reverb_word(1000 * measure_rt60(omni[start:], fs=16000, decay_db=30)) == words.describe(line).reverb)
    assert np.mean(agree) >= 0.95
    assert found.meta["nominal_agreement"] >= 0.9, "absorptions are matched to what is measured"


def test_neither_shards_nor_the_number_of_responses_change_one(plain, tmp_path):
    _, many = plain
    _, few = made(tmp_path, shards=3, train=Split("random", 5))
    columns = [name for name in catalogue.COLUMNS if name != "seconds"]
    pd.testing.assert_frame_equal(few.table[columns], many.table[columns][:5])
    for row in range(5):
        assert np.array_equal(few.rir(row), many.rir(row))
    _, other = made(tmp_path, "other", shards=1, train=Split("random", 2), seed=1)
    assert not set(other.table["spatial_id"]) & set(many.table["spatial_id"])


def test_an_interrupted_run_goes_on_at_its_first_missing_shard(plain, tmp_path, monkeypatch):
    _, many = plain
    written = stage._written
    monkeypatch.setattr(stage, "_written", lambda settings, engine, item, *rest: (
        written(settings, engine, item, *rest) if item.number != 3 else pytest.fail("cut off")))  # fmt: skip
    with pytest.raises(pytest.fail.Exception):
        made(tmp_path, train=Split("random", 4))
    context = Context(tmp_path / "stages" / "rooms", tmp_path)
    assert [context.shard_is_done(shard) for shard in range(2)] == [True, False]
    monkeypatch.undo()
    _, found = made(tmp_path, train=Split("random", 4))
    assert found.table["spatial_id"].tolist() == many.table["spatial_id"].tolist()[:4]


def test_quotas_are_filled_by_measured_words_and_what_is_out_of_reach_is_said(tmp_path):
    narrow = Ranges((20.0, 90.0), (-47.5, 48.7), (0.5, 1.5), (250.0, 1600.0))  # nothing dampened, large or far
    result, found = made(tmp_path, train=Split("quota_full", 1), ranges=narrow, attempts=12)
    reached = found.table["descriptor_id"]
    assert len(set(reached)) == len(reached) == result.responses
    expected = {
        words.descriptor_id(one) for one in words.full_tuples()
        if one.distance == "near" and one.size != "large" and one.reverb == "highly reverberant"
    }  # fmt: skip
    assert len(expected) == 16 and set(reached) <= expected and len(reached) >= 15
    unreachable = [one["descriptor_id"] for one in found.meta["unreachable"]]
    assert len(unreachable) == result.unreachable == 96 - len(reached) and not set(unreachable) & set(reached)


def test_free_turned_receivers_and_octaves(tmp_path):
    settings = {"receiver": "free", "turned": True, "height_m": (2.5, 4.0), "materials": "octaves", "air_absorption": True}
    _, found = made(tmp_path, train=Split("random", 4), **settings)
    assert found.meta["self_test"]["gain_error"] <= 1e-3 and (found.table["receiver_yaw_deg"] != 0).any()
    assert found.table["alpha_bands"].map(lambda text: len(json.loads(text))).tolist() == [7] * 4
    assert np.isfinite(found.table[["t30_250hz_ms", "t30_1000hz_ms"]]).to_numpy().mean() > 0.7


def test_the_published_way_clips_and_labels_by_what_was_aimed_at(tmp_path):
    result, found = made(tmp_path, disse_compat=True, train=Split("random", 8), test=Split("random", 2), sample_rate_hz=48000)
    assert found.meta["format"] == "tetrahedron" and found.convention.normalisation == "DISSE" and found.meta["caption_t30"] == "nominal"
    assert (found.table["fullband_T30_ms"] == found.table["t30_nominal_ms"]).all() and (found.table["image_order"] == 10).all()
    assert soundfile.info(found.folder / found.table["rir_path"][0]).subtype == "PCM_16"
    assert result.nominal_agreement < 0.9 and result.clipped == (found.table["peak"] > 1).sum()
    for row, line in found.table.iterrows():
        stored = found.rir(row, as_stored=True)
        assert np.allclose(found.rir(row)[1:], stored[1:] * 3**0.5, rtol=1e-5) and np.allclose(found.rir(row)[0], stored[0])
        assert line["descriptor_id"] == words.descriptor_id(words.describe(line, words.DISSE))


def test_given_geometries_are_simulated(tmp_path):
    path = tmp_path / "rir_fixed.csv"
    path.write_text(
        "dims,alpha,source_pos_xyz,azimuth_deg,elevation_deg,source_distance_m,fullband_T30_ms,split\n"
        '"[7.3, 5.1, 3.0]",0.15,"[3.65, 3.55, 1.5]",90,0,1.0,300,test\n"[6.2, 4.4, 3.0]",0.1,"[3.1, 2.2, 2.5]",0,90,1.0,600,test\n'
    )
    result, found = made(tmp_path, geometry=str(path))
    assert result.responses == 2 and found.table["azimuth_deg"].tolist() == [90, 0] and found.table["elevation_deg"].tolist() == [0, 90]
    first = found.rir(0)[:, : 40 + 60]
    assert foa.direction(first)[0] == pytest.approx(90, abs=2), "left, on +y"


def test_wrong_directions_fail_the_stage(tmp_path, monkeypatch):
    real = simulator.image_sources

    def mirrored(*arguments):
        samples, count = real(*arguments)
        return samples * np.array([1, -1, 1, 1])[:, None], count

    monkeypatch.setattr(simulator, "image_sources", mirrored)
    with pytest.raises(InvalidValueError, match="left and right"):
        made(tmp_path, train=Split("random", 4))
    monkeypatch.setattr(simulator, "image_sources", lambda *rest: (real(*rest)[0] * np.array([1, 1, 1, 1.01])[:, None], 1))
    with pytest.raises(InvalidValueError, match="elsewhere"):
        made(tmp_path, "louder", train=Split("random", 4))
    monkeypatch.undo()
    checked = self_test.Checked(1e-5, 1e-5, 0.2, True)
    with pytest.raises(InvalidValueError, match="level"):
        self_test.require([checked], simulator.Engine(16000), 1e-3)


def test_the_self_test_looks_at_the_stored_response_too():
    settings = Settings(**SMALL)
    draw = drawing.draw(settings, drawing.Item("train", 1), 0)
    engine = drawing.engine_of(settings)
    response = simulator.simulate(draw.scene, engine, np.random.default_rng(0))
    near = dataclasses.replace(draw, distance_m=draw.distance_m)
    assert self_test.check(near, response.samples, engine).gain_error < 1e-3
    scene = simulator.Scene((30.0, 30.0, 12.0), (0.5,), (15.5, 15.0, 6.0), (15.0, 15.0, 6.0))
    wide = drawing.Draw(drawing.Room(scene.dims_m, (0.5,), 500.0), scene, 0.5, 0.0, 0.0, 0.0)
    samples = simulator.simulate(scene, engine, np.random.default_rng(0)).samples
    assert self_test.check(wide, samples, engine).stored_error < 1e-3
    assert self_test.check(wide, samples * np.array([[1], [1], [1], [1.1]]), engine).stored_error == pytest.approx(0.1, abs=0.01)


def test_nothing_wanted_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="nothing is wanted"):
        made(tmp_path, train=Split())
    with pytest.raises(InvalidValueError, match="no catalogue"):
        catalogue.open_catalogue(tmp_path)
    row = {"spatial_id": "a", "split": "train", "fs": 8000, "delay_samples": 0}
    for rows, said in (([], "no rows"), ([{**row, "colour": 1}], "colour"), ([row, row], "twice"), ([{**row, "split": "dev"}], "split")):
        with pytest.raises(InvalidValueError, match=said):
            catalogue.write_catalogue(tmp_path, rows, {})


def test_requests_come_back_from_json():
    request = Request(Settings(train=Split("quota_all", 3)), shards=5)
    assert build(Request, json.loads(json.dumps(to_dict(request)))) == request
