"""On a small catalogue written by hand in the format of simulate_rooms."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from core import audio
from core.context import Context
from core.errors import InvalidValueError
from tasks.plot_rooms import drawings, stage
from tasks.plot_rooms.spec import Request
from tasks.spatial import acoustics, catalogue

RATE = 8000


def write_catalogue(folder, known=True):
    rows = []
    for number in range(5):
        t60 = 0.2 + 0.2 * number
        times = np.arange(int(1.2 * t60 * RATE)) / RATE
        samples = np.random.default_rng(number).standard_normal((4, len(times))) * 10 ** (-3 * times / t60)
        samples[:, 0] = 2.0
        audio.write(folder / "rirs" / f"id{number}.wav", samples.astype(np.float32), RATE, "FLOAT")
        row = {
            "spatial_id": f"id{number}", "room_id": f"room{number}", "split": ("train", "train", "val", "test", "train")[number],
            "fs": RATE, "delay_samples": 0, "rir_path": f"rirs/id{number}.wav", "azimuth_deg": 60.0 * number - 120,
            "elevation_deg": 10.0 * number, "source_distance_m": 1.0, "area_m2": 30.0, "fullband_T30_ms": 1000 * t60, "drr_db": 3.0,
            "direct_excluded": False, "t30_measured_ms": 1000 * t60, "receiver_yaw_deg": 30.0,
        }  # fmt: skip
        if known:
            row |= {
                "dims_m": "[6.0, 5.0, 3.0]", "source_pos_xyz": "[4.0, 2.5, 1.5]", "receiver_pos_xyz": "[3.0, 2.5, 1.5]",
                "t30_nominal_ms": 1000 * t60 + 30, "crossover_ms": 80.0,
            }  # fmt: skip
        rows.append(row)
    catalogue.write_catalogue(folder, rows, {})


def plotted(root, known=True, **fields):
    folder, output = root / "stages" / "rooms" / "k", root / "stages" / "plot"
    folder.mkdir(parents=True)
    output.mkdir(parents=True)
    write_catalogue(folder, known)
    result = stage.run(Request("stages/rooms/k", **fields), Context(output, root, emit=lambda kind, values: None))
    return result, json.loads((output / "pictures.json").read_text()), output


def test_plans_decays_and_overviews_are_drawn(tmp_path):
    result, told, output = plotted(tmp_path, responses=2)
    kinds = [one["kind"] for one in told["pictures"]]
    assert kinds == ["directions", "reverberation", "distributions", "plan", "decay", "plan", "decay"] and result.pictures == 7
    for one in told["pictures"]:
        assert ElementTree.parse(output / one["svg"]).getroot().tag.endswith("svg")
    text = (output / told["pictures"][3]["svg"]).read_text()
    assert "x (m)" in text and "source" in text and "var(--ink" in text
    assert told["rows"] == 5 and told["statistics"]["area_m2"] == {"mean": 30.0, "sd": 0.0}


def test_the_line_that_is_drawn_has_the_measured_t30(tmp_path):
    write_catalogue(tmp_path)
    found = catalogue.open_catalogue(tmp_path)
    for row in range(5):
        line, samples = found.table.loc[row], found.rir(row)[0]
        axes = drawings.decay(line, samples, RATE).axes[0]
        drawn = next(one for one in axes.lines if "T30" in str(one.get_label()))
        slope = np.diff(drawn.get_ydata())[0] / np.diff(drawn.get_xdata())[0]
        assert -60 / slope == pytest.approx(acoustics.measure(samples, RATE, 0).t30_ms, rel=0.02)
        curve = axes.lines[0]
        assert np.abs(np.interp(drawn.get_xdata(), curve.get_xdata(), curve.get_ydata()) - drawn.get_ydata()).max() < 3, "it lies on it"


def test_left_is_drawn_on_the_left(tmp_path):
    write_catalogue(tmp_path)
    axes = drawings.directions(catalogue.open_catalogue(tmp_path).table).axes[0]
    low, high = axes.get_xlim()
    assert low > high
    assert sum(len(one.get_xdata()) for one in axes.lines) == 5


def test_measured_sets_without_plans_are_drawn_as_far_as_they_are_known(tmp_path):
    _, told, _ = plotted(tmp_path, known=False, responses=9)
    kinds = [one["kind"] for one in told["pictures"]]
    assert kinds == ["directions", "distributions", *["decay"] * 5]


def test_the_choice_hangs_on_seed_and_ids(tmp_path):
    write_catalogue(tmp_path)
    found = catalogue.open_catalogue(tmp_path)
    assert set(stage.choice(found, 2, 0)) < set(stage.choice(found, 3, 0)) and stage.choice(found, 9, 0) == [0, 1, 2, 3, 4]
    assert len({tuple(stage.choice(found, 2, seed)) for seed in range(12)}) > 3
    with pytest.raises(InvalidValueError, match="responses"):
        Request("x", -1)
