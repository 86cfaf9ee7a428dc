import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import signal

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.spatial import foa as ambisonics
from tasks.spatial import scenes, words
from tasks.spatial.catalogue import open_catalogue
from tasks.spatial.dry import load_dry
from tasks.spatial.sound_files import write_float
from tasks.spatial_features.intensity import Intensity
from tasks.spatial_features.levels import Level
from tasks.spatial_features.precomputed import Precomputed
from tasks.spatial_features.rendering import Rendering, load_rirs, render
from tasks.spatialise.spec import Request, Settings
from tasks.spatialise.stage import run, run_shards
from tests.donors import bytes_of, finish, heir
from tests.tasks.caption_scenes import houses

RATE, LENGTH = 8000, 0.6


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("spatialise")
    houses.catalogue(root)
    houses.clips(root)
    return root


def made(root, name, shards=2, given="", **settings):
    output = root / "stages/spatialise" / name
    output.mkdir(parents=True)
    context = Context(output, root, final=f"stages/spatialise/{name}", emit=lambda kind, values: None)
    request = Request(houses.CLIPS, houses.CATALOGUE, given, shards, Settings(**{"duration_s": LENGTH, **settings}))
    for shard in reversed(range(shards)):
        run_shards(request, context, [shard])
    return run(request, context), output


def test_every_scene_is_written_with_its_labels_and_its_sound_is_the_convolution(root):
    result, output = made(root, "whole")
    index = pd.read_parquet(output / "index.parquet")
    assert (result.clips, result.rejected) == (12, 0) and result.seconds == pytest.approx(12 * LENGTH) and len(index) == 12
    for row in list(index.itertuples())[::4]:
        found, rate_hz = audio.read(root / row.foa_path)
        assert rate_hz == RATE and found.shape == (4, 4800)
        gold, _ = audio.read(root / row.clip_path)
        dry = np.resize(gold[0], 4800) if gold.shape[1] < 4800 else gold[0, :4800]
        rir, _ = audio.read(root / houses.CATALOGUE / row.rir_path)
        wanted = np.stack([signal.fftconvolve(dry.astype(float), one[houses.DELAY :].astype(float))[:4800] for one in rir])
        assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
        assert row.gain_db == 0.0 and row.peak == pytest.approx(np.abs(found).max())
        with np.load(root / row.feat_path, allow_pickle=False) as features:
            assert features["i_act"].shape == features["i_rea"].shape == (3, 201, 97) and features["i_act"].dtype == np.float32
    assert (index["azimuth_deg"] == 90).sum() == 4 and index["caption"].str.contains("room").all() and index["scene_id"].is_unique
    told = json.loads((output / "index.json").read_text())
    assert (told["order"], told["normalisation"], told["azimuth_sign"]) == ("ACN", "SN3D", "left_positive") and told["scenes"] == 12
    listed = pd.read_csv(output / "index.csv", dtype={"spatial_id": str, "source_id": str})
    assert list(listed["foa_path"]) == list(index["foa_path"]) and list(listed["spatial_id"]) == list(index["spatial_id"])


def test_left_in_captions_is_left_in_the_written_sound(root):
    _, output = made(root, "sides", store="foa")
    index = pd.read_parquet(output / "index.parquet")
    assert not (output / "features").exists() and (index["feat_path"] == "").all()
    seen = set()
    for row in index.itertuples():
        side = words.parse_id(row.descriptor_id).direction
        sound, _ = audio.read(root / row.foa_path)
        azimuth, _ = ambisonics.direction(sound)
        assert math.cos(math.radians(float(azimuth) - row.azimuth_deg)) > 0.9
        if side in ("left", "right"):
            assert (float(azimuth) > 0) == (side == "left") and side in row.caption
            seen.add(side)
    assert seen == {"left", "right"}


def test_on_the_fly_is_what_was_precomputed(root):
    settings = {"level": "lufs", "target_db": -30.0, "noise": True, "min_snr_db": 10.0, "max_snr_db": 20.0, "seed": 5}
    _, output = made(root, "noisy", **settings)
    index = pd.read_parquet(output / "index.parquet")
    catalogue = open_catalogue(root / houses.CATALOGUE)
    places = {name: place for place, name in enumerate(catalogue.table["spatial_id"])}
    train = index[index["split"] == "train"]
    clips, spaces = list(dict.fromkeys(train["clip_path"])), list(dict.fromkeys(train["spatial_id"]))[::-1]
    names = {(row.clip_path, row.spatial_id): row.scene_id for row in train.itertuples()}
    dry = torch.from_numpy(np.stack([load_dry(root / path, RATE, LENGTH) for path in clips]))
    rendering = Rendering(RATE, Level("lufs", -30.0, (10.0, 20.0), 5))
    rirs = load_rirs(catalogue, [places[name] for name in spaces])
    heard, told = render(dry, rirs, [[names[clip, space] for space in spaces] for clip in clips], rendering)
    assert heard.shape == (2, 3, 4, 4800)
    active, reactive = Intensity(RATE)(heard)
    rows = train.set_index(["clip_path", "spatial_id"])
    for at, clip in enumerate(clips):
        for view, space in enumerate(spaces):
            row = rows.loc[(clip, space)]
            stored, _ = audio.read(root / row.foa_path)
            assert np.abs(heard[at, view].numpy() - stored).max() < 1e-6
            assert told[at][view]["gain_db"] == pytest.approx(row.gain_db, abs=1e-3)
            assert told[at][view]["snr_db"] == pytest.approx(row.snr_db) and 10 <= row.snr_db <= 20
            with np.load(root / row.feat_path, allow_pickle=False) as features:
                for fresh, name in ((active, "i_act"), (reactive, "i_rea")):
                    close = np.abs(fresh[at, view].numpy() - features[name]) < 1e-3 * (1 + np.abs(features[name]))
                    assert close.mean() > 0.999


@pytest.mark.parametrize("settings", [{}, {"level": "rms", "noise": True, "norm": "energy", "mels": 16}])
def test_an_index_alone_is_rendered_on_demand_as_it_would_have_been_stored(root, settings):
    name = f"demand-{len(settings)}"
    stored = Precomputed(made(root, f"{name}-a", **settings)[1], lambda path: root / path)
    fresh = Precomputed(made(root, f"{name}-b", store="none", **settings)[1], lambda path: root / path)
    assert len(stored) == len(fresh) == 12 and list(stored.index["scene_id"]) == list(fresh.index["scene_id"])
    for place in (0, 5, 11):
        assert torch.allclose(stored.foa(place), fresh.foa(place), atol=1e-6) and stored.foa(place).shape == (4, 4800)
        for one, other in zip(stored.features(place), fresh.features(place), strict=True):
            assert one.shape == other.shape == (3, settings.get("mels", 201), 97)
            assert ((one - other).abs() < 1e-3 * (1 + one.abs())).float().mean() > 0.999


def test_shards_and_subsets_give_the_same_sounds(root):
    first = pd.read_parquet(made(root, "one", 1, store="foa", noise=True)[1] / "index.parquet")
    second = pd.read_parquet(made(root, "five", 5, store="foa", noise=True)[1] / "index.parquet")
    assert list(first["sha256"]) == list(second["sha256"]) and first["sha256"].nunique() == 12
    part = pd.read_parquet(made(root, "part", 1, store="foa", noise=True, split="val")[1] / "index.parquet")
    assert list(part["sha256"]) == list(first[first["split"] == "val"]["sha256"])


def test_float_files_hold_levels_above_full_scale_and_no_time_of_day(tmp_path):
    loud = np.array([[1.5, -2.0, 0.25], [0.0, 1e-6, 3.0]], np.float32)
    write_float(tmp_path / "a.wav", loud, RATE)
    found, rate_hz = audio.read(tmp_path / "a.wav")
    assert rate_hz == RATE and np.array_equal(found, loud) and b"PEAK" not in (tmp_path / "a.wav").read_bytes()


def test_small_forms_and_an_index_alone(root):
    result, output = made(root, "small", level="peak", form="flac", feature_format="float16", mels=32, norm="energy", split="test")
    row = pd.read_parquet(output / "index.parquet").iloc[0]
    sound, _ = audio.read(root / row.foa_path)
    assert row.foa_path.endswith(".flac") and np.abs(sound).max() <= 0.981 and result.louder_than_full_scale == 0
    with np.load(root / row.feat_path) as features:
        assert features["i_act"].shape == (3, 32, 97) and features["i_act"].dtype == np.float16
    result, output = made(root, "index", store="none")
    index = pd.read_parquet(output / "index.parquet")
    assert result.gigabytes == 0 and len(index) == 12 and (index["foa_path"] == "").all() and not (output / "foa").exists()
    whole = made(root, "estimate", split="test")[0]
    on_disk = sum(path.stat().st_size for path in (root / "stages/spatialise/estimate").rglob("*") if path.suffix in (".wav", ".npz"))
    assert whole.gigabytes * 1e9 * 2 == pytest.approx(on_disk, rel=0.05), "shards hold a second name of each file"
    with pytest.raises(InvalidValueError, match=r"0\.0 GB.*on demand"):
        made(root, "huge", max_gb=0.001)


def test_captions_of_a_scene_table_are_taken_over(root):
    catalogue = open_catalogue(root / houses.CATALOGUE)
    table = scenes.table(manifest.read(root / houses.CLIPS), catalogue.table, scenes.Choice(split="val"))
    table["caption"] = [f"caption {number}" for number in range(len(table))]
    (root / "stages/caption_scenes/cc").mkdir(parents=True)
    table.to_parquet(root / "stages/caption_scenes/cc/scenes.parquet")
    result, output = made(root, "given", given="stages/caption_scenes/cc", store="foa")
    assert result.clips == 3 and list(pd.read_parquet(output / "index.parquet")["caption"]) == ["caption 0", "caption 1", "caption 2"]
    table["spatial_id"] = "elsewhere"
    table.to_parquet(root / "stages/caption_scenes/cc/scenes.parquet")
    with pytest.raises(InvalidValueError, match="another catalogue"):
        made(root, "foreign", given="stages/caption_scenes/cc")


def test_bad_clips_stay_in_the_index_with_their_reason(tmp_path):
    houses.catalogue(tmp_path)
    rows = houses.clips(tmp_path)
    (tmp_path / rows[1]["path"]).write_bytes(b"no sound")
    (tmp_path / rows[2]["path"]).unlink()
    result, output = made(tmp_path, "bad", store="foa", max_reject_fraction=0.5)
    index = pd.read_parquet(output / "index.parquet")
    assert (result.clips, result.rejected, len(index)) == (12, 6, 12) and result.seconds == pytest.approx(6 * LENGTH)
    rejected = index[index["status"] == "rejected"]
    assert {reason.split(":")[0] for reason in rejected["reason"]} == {"unreadable", "missing_file"} and (rejected["foa_path"] == "").all()
    with pytest.raises(InvalidValueError, match="6 of 12 scenes cannot be used"):
        made(tmp_path, "refused", max_reject_fraction=0.4)


def test_mono_copies_are_clips_with_lineage_in_rooms_of_the_train_split(tmp_path):
    houses.catalogue(tmp_path)
    houses.clips(tmp_path, ("train",) * 3, 16_000)
    result, output = made(tmp_path, "mono", mode="mono", per_clip=3)
    table, source = manifest.read(output), manifest.read(tmp_path / houses.CLIPS).set_index("clip_id")
    assert (result.clips, result.rejected, len(table)) == (9, 0, 9) and table["sha256"].nunique() >= 6
    catalogue = open_catalogue(tmp_path / houses.CATALOGUE)
    rirs = catalogue.table.set_index("spatial_id")
    for row in table.itertuples():
        gold = source.loc[row.parents[0]]
        told = json.loads(row.parameters)
        assert (row.label, row.caption, row.split, row.origin) == (gold.label, gold.caption, "train", "spatialise")
        assert rirs.loc[told["spatial_id"]].split == "train" and told["method"] == "simulated_room"
        assert row.duration_s == gold.duration_s and row.sample_rate_hz == gold.sample_rate_hz == 16_000 and row.channels == 1
        sound, rate_hz = audio.read(tmp_path / row.path)
        dry, _ = audio.read(tmp_path / gold.path)
        rir, _ = audio.read(tmp_path / houses.CATALOGUE / str(rirs.loc[told["spatial_id"]].rir_path))
        heard = signal.resample_poly(rir[0, houses.DELAY :].astype(float), 2, 1) / 2
        wanted = signal.fftconvolve(dry[0].astype(float), heard)[: sound.shape[1]] * 10 ** (told["gain_db"] / 20)
        assert rate_hz == 16_000 and sound.shape == dry.shape and np.abs(sound).max() <= 0.9801
        assert np.corrcoef(sound[0], wanted)[0, 1] > 0.98 and np.std(sound) == pytest.approx(np.std(wanted), rel=0.05)
    assert list(manifest.read(made(tmp_path, "again", 5, mode="mono", per_clip=3)[1])["sha256"]) == list(table["sha256"])
    houses.clips(tmp_path)
    with pytest.raises(InvalidValueError, match="not train clips"):
        made(tmp_path, "leak", mode="mono")


def test_mono_copies_of_unchanged_clips_are_taken_over(tmp_path):
    houses.catalogue(tmp_path)
    houses.clips(tmp_path, ("train",) * 3, 16_000)
    table = manifest.read(tmp_path / houses.CLIPS).assign(sha256=["1", "2", "3"])
    outputs = {}
    for name, digest, donors in (("old", "1", []), ("new", "other", ["old"]), ("fresh", "other", [])):
        table.loc[0, "sha256"] = digest
        manifest.write(tmp_path / f"stages/stratify/{name}", table)
        settings = Settings(mode="mono", per_clip=2)
        request = Request(clips=f"stages/stratify/{name}", catalogue=houses.CATALOGUE, shards=2, settings=settings)
        context, counts = heir(tmp_path, "spatialise", name, [outputs[donor][1] for donor in donors])
        run_shards(request, context, [0, 1])
        run(request, context)
        outputs[name] = (context.output, finish(context.output, request), counts)
    assert outputs["new"][2] == {"clips_made": 2, "clips_reused": 4}
    assert bytes_of(outputs["new"][0]) == bytes_of(outputs["fresh"][0])


def shared_rooms(root):
    """Two rooms of train with two places each, one of validation with two."""
    places = [(("train", "train", "val")[number // 2], 90.0 - 60 * number, 0.0, 1.0 + number, 40.0, 300.0, 300.0) for number in range(6)]
    houses.catalogue(root, places)
    houses.clips(root, ("train", "train", "train", "val", "val"))


def test_a_moving_source_passes_the_other_places_of_its_room(tmp_path):
    shared_rooms(tmp_path)
    index = pd.read_parquet(made(tmp_path, "moving", store="foa", stops=2)[1] / "index.parquet")
    rirs = open_catalogue(tmp_path / houses.CATALOGUE).table.set_index("spatial_id")
    fade = np.linspace(1, 0, 4800)
    for row in index.itertuples():
        first, second = json.loads(row.stops)
        assert first == row.spatial_id and second != first and rirs.loc[first].room_id == rirs.loc[second].room_id
        dry = load_dry(tmp_path / row.clip_path, RATE, LENGTH).astype(float)
        wanted = 0.0
        for name, weights in ((first, fade), (second, 1 - fade)):
            rir = audio.read(tmp_path / houses.CATALOGUE / str(rirs.loc[name].rir_path))[0][:, houses.DELAY :].astype(float)
            wanted = wanted + np.stack([signal.fftconvolve(dry * weights, one)[:4800] for one in rir])
        found, _ = audio.read(tmp_path / row.foa_path)
        assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_further_sources_are_other_clips_of_the_split_elsewhere_in_the_room(tmp_path):
    shared_rooms(tmp_path)
    alone = pd.read_parquet(made(tmp_path, "alone", store="foa")[1] / "index.parquet").set_index("scene_id")
    index = pd.read_parquet(made(tmp_path, "both", 3, store="foa", others=1, others_min_db=-6.0)[1] / "index.parquet")
    rirs = open_catalogue(tmp_path / houses.CATALOGUE).table.set_index("spatial_id")
    clips = manifest.read(tmp_path / houses.CLIPS).set_index("clip_id")
    for row in index.itertuples():
        (other,) = json.loads(row.others)
        assert other["clip_id"] != row.source_id and clips.loc[other["clip_id"]].split == row.split == rirs.loc[other["spatial_id"]].split
        assert other["spatial_id"] != row.spatial_id and rirs.loc[other["spatial_id"]].room_id == row.room_id
        assert -6 <= other["gain_db"] <= 0 and 0 <= other["onset_s"] <= 0.5 * LENGTH
        rest = audio.read(tmp_path / row.foa_path)[0] - audio.read(tmp_path / alone.loc[row.scene_id].foa_path)[0]
        dry = load_dry(tmp_path / other["clip_path"], RATE, LENGTH).astype(float)
        rir = audio.read(tmp_path / houses.CATALOGUE / str(rirs.loc[other["spatial_id"]].rir_path))[0][:, houses.DELAY :].astype(float)
        start, gain = round(other["onset_s"] * RATE), 10 ** (other["gain_db"] / 20)
        wanted = np.stack([gain * np.pad(signal.fftconvolve(dry, one)[:4800], (start, 0))[:4800] for one in rir])
        assert np.abs(rest - wanted).max() < 1e-5 * np.abs(wanted).max()
        assert row.caption == alone.loc[row.scene_id].caption
    again = pd.read_parquet(made(tmp_path, "again", 1, store="foa", others=1, others_min_db=-6.0)[1] / "index.parquet")
    assert list(again["sha256"]) == list(index["sha256"]), "whatever the shards"


def test_company_that_a_room_or_split_cannot_give_is_refused(tmp_path):
    shared_rooms(tmp_path)
    with pytest.raises(InvalidValueError, match=r"too few places in a room.*pool_rooms"):
        made(tmp_path, "crowd", store="foa", stops=2, others=1)
    with pytest.raises(InvalidValueError, match="not rendered on demand"):
        Settings(others=1, store="none")


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InvalidValueError, match="raw levels"):
        Settings(form="flac")
    with pytest.raises(InvalidValueError, match="min_snr_db"):
        Settings(min_snr_db=50.0)
    with pytest.raises(InvalidValueError, match="mono copies are drawn"):
        Request("a", "b", scenes="c", settings=Settings(mode="mono"))
