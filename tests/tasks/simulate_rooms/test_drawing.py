"""What is drawn: ranges, cells of the splits, words, rooms of a pool; nothing is simulated here."""

import json

import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.simulate_rooms import drawing, geometry
from tasks.simulate_rooms.spec import PARITY_POOL, Ranges, Request, Settings, Split, effective
from tasks.spatial import foa, words


def drawn(settings, count=40, split="train"):
    settings = effective(settings)
    ranges = settings.test_ranges if split == "test" else settings.ranges
    found = [drawing.draw(settings, drawing.Item(split, number, None, ranges), 0) for number in range(count)]
    return [one for one in found if one is not None]


def cells(draws):
    return {(round(one.distance_m * 100), round(one.azimuth_deg), round(one.elevation_deg)) for one in draws}


@pytest.mark.parametrize("settings", [Settings(), Settings(receiver="free", turned=True, height_m=(2.4, 5.0)), Settings(disse_compat=True)])
def test_sources_are_where_their_angles_say_and_clear_of_the_walls(settings):
    draws = drawn(settings)
    assert len(draws) >= 38
    for one in draws:
        source, receiver, dims = (np.array(value) for value in (one.scene.source_m, one.scene.receiver_m, one.scene.dims_m))
        step = foa.rotate_label(one.azimuth_deg, one.elevation_deg, foa.rotation(one.yaw_deg))
        assert np.allclose(source - receiver, one.distance_m * foa.unit_vector(*step))
        assert (source >= 0.1 - 1e-9).all() and (source <= dims - 0.1 + 1e-9).all()
        assert settings.receiver == "free" or np.allclose(receiver, dims / 2)
        assert settings.receiver == "centre" or ((receiver >= 0.5).all() and (receiver <= dims - 0.5).all())
        assert 0.5 <= one.distance_m <= 4.0 and -47.5 <= one.elevation_deg <= 48.7 and -180 <= one.azimuth_deg < 180
        assert 13.3 <= one.room.area_m2 <= 277.4 and 144.5 <= one.room.t30_nominal_ms <= 2671.9
        assert 1 <= one.scene.dims_m[0] / one.scene.dims_m[1] <= 2.5 + 1e-9
        assert all(0.05 <= alpha <= 0.95 for alpha in one.room.alphas)
    assert len({one.yaw_deg for one in draws}) > 20 if settings.turned else {one.yaw_deg for one in draws} == {0.0}
    heights = {round(one.scene.dims_m[2], 3) for one in draws}
    assert len(heights) > 20 if settings.receiver == "free" else heights == {3.0}


def test_no_room_and_no_position_is_in_two_splits():
    by_split = {split: drawn(Settings(pool_rooms=10), 60, split) for split in drawing.SPLITS}
    rooms = {split: {one.room.room_id for one in draws} for split, draws in by_split.items()}
    assert all(4 <= len(found) <= 10 for found in rooms.values()), "several positions in a room"
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not rooms[first] & rooms[second] and not cells(by_split[first]) & cells(by_split[second])
    assert len({one.room.room_id for one in drawn(Settings())}) == 40, "without a pool every response has a room"


def test_the_published_splits_share_rooms_and_differ_by_parity():
    settings = Settings(disse_compat=True, pool_rooms=12)
    by_split = {split: drawn(settings, 60, split) for split in drawing.SPLITS}
    parity = {split: {sum(cell) % 2 for cell in cells(draws)} for split, draws in by_split.items()}
    assert parity == {"train": {0}, "val": {0}, "test": {1}}
    rooms = {split: {one.room.room_id for one in draws} for split, draws in by_split.items()}
    assert rooms["test"] <= rooms["train"] and effective(Settings(disse_compat=True)).pool_rooms == PARITY_POOL
    for one in by_split["test"]:
        assert one.room.t30_nominal_ms <= 1254.8 and one.distance_m >= 0.9 and -29.8 <= one.elevation_deg <= 42.4
    for one in by_split["train"]:
        x, y, z = one.scene.dims_m
        sabine = 0.161 * x * y * z / (2 * (x * y + y * z + x * z) * one.room.t30_nominal_ms / 1000)
        assert one.room.alphas == (pytest.approx(np.clip(sabine, 0.05, 0.95)),)


def test_quotas_ask_for_every_tuple_and_draws_have_its_words():
    settings = Settings(train=Split("quota_all", 2), val=Split("quota_full", 1), test=Split())
    items = drawing.items(settings)
    assert len(items) == 2 * 405 + 96 and len({(item.split, item.number) for item in items}) == len(items)
    for item in [item for item in items if item.split == "val"][::7] + [item for item in items if item.split == "train"][::37]:
        found = next(one for one in (drawing.draw(settings, item, attempt) for attempt in range(60)) if one is not None)
        row = {
            "source_distance_m": found.distance_m, "azimuth_deg": found.azimuth_deg, "elevation_deg": found.elevation_deg,
            "area_m2": found.room.area_m2, "fullband_T30_ms": found.room.t30_nominal_ms,
        }  # fmt: skip
        assert words.describe(row) == item.wanted
    assert drawing.draw_room(settings, Ranges(t30_ms=(300.0, 900.0)), np.random.default_rng(0), words.full_tuples()[0]) is None
    assert drawing.items(Settings())[-1].split == "test" and len(drawing.items(Settings())) == 1000 + 96 + 96


def test_draws_hang_on_seed_split_number_and_attempt_only():
    settings, item = Settings(), drawing.Item("train", 7)
    same = [drawing.draw(settings, item, 3) for _ in range(2)]
    assert same[0] == same[1]
    others = [
        drawing.draw(settings, item, 4), drawing.draw(Settings(seed=1), item, 3), drawing.draw(settings, drawing.Item("train", 8), 3),
    ]  # fmt: skip
    assert len({one.room.room_id for one in (same[0], *others)}) == 4


def test_octave_materials_follow_a_slope_and_receivers_a_height():
    one = drawn(Settings(materials="octaves", band_slope=(0.2, 0.2), receiver_height_m=1.1, absorption="sabine"), 3)[0]
    alphas = np.array(one.room.alphas)
    assert len(alphas) == 8 and one.scene.receiver_m[2] == pytest.approx(1.1)
    free = (alphas > 0.05) & (alphas < 0.95)
    assert np.allclose(np.diff(np.log2(alphas[free])), 0.2)


def test_geometries_of_others_are_read_and_checked(tmp_path):
    row = {
        "dims": "[6.0, 5.0, 3.0]", "alpha": 0.3, "azimuth_deg": 90, "elevation_deg": 0, "source_distance_m": 1.0, "fullband_T30_ms": 300,
        "source_pos_xyz": "(3.0, 3.5, 1.5)", "split": "val",
    }  # fmt: skip

    def read(**other):
        path = tmp_path / "rir_fixed.csv"
        columns = {**row, **other}
        path.write_text(",".join(columns) + "\n" + ",".join(json.dumps(str(value)).replace("\\", "") for value in columns.values()) + "\n")
        return geometry.read(path)

    item, draw = read()[0]
    assert item.split == "val" and draw.scene.source_m == (3.0, 3.5, 1.5) and draw.scene.receiver_m == (3.0, 2.5, 1.5)
    assert draw.room.t30_nominal_ms == 300 and draw.room.alphas == (0.3,)
    for other, said in (
        ({"source_pos_xyz": "[3, 1.5, 1.5]"}, "angles"), ({"source_distance_m": 3.0, "source_pos_xyz": "[3, 5.5, 1.5]"}, "outside"),
        ({"split": "dev"}, "split"), ({"dims": "six"}, "three numbers"),
    ):  # fmt: skip
        with pytest.raises(InvalidValueError, match=said):
            read(**other)
    (tmp_path / "bad.csv").write_text("dims\n1\n")
    with pytest.raises(InvalidValueError, match="alpha"):
        geometry.read(tmp_path / "bad.csv")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ranges": {"area_m2": [50, 20]}}, "area_m2"), ({"tail": "rays"}, "isotropic"), ({"air_absorption": True}, "octaves"),
        ({"train": {"sampling": "quota"}}, "quota_full"), ({"absorption_limits": [0.0, 0.9]}, "absorption_limits"),
        ({"attempts": 0}, "attempts"),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused(wrong, said):
    from core.contract import build

    with pytest.raises(InvalidValueError, match=said):
        build(Request, {"settings": wrong})
