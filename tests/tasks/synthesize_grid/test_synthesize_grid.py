import io
import itertools
import json
import shutil
import tarfile

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from scipy import signal

from core.context import Context
from core.contract import build, to_dict
from core.errors import InvalidValueError
from tasks.grid.reading import open_grid
from tasks.synthesize_grid import npz
from tasks.synthesize_grid.cells import Renderer
from tasks.synthesize_grid.spec import Request, Settings
from tasks.synthesize_grid.stage import run, run_shards

WAVEFORMS = ("sine", "triangle", "sawtooth", "square")


def made(root, request, name="grid", shards=None):
    output = root / "stages" / name
    output.mkdir(parents=True, exist_ok=True)
    logged = []
    context = Context(output, root, final=f"stages/{name}", emit=lambda kind, values: logged.append((kind, values)))
    pending = [shard for shard in range(request.shards) if not context.shard_is_done(shard)]
    (output / "shards").mkdir(exist_ok=True)
    run_shards(request, context, pending)
    return run(request, context), output, logged


def upstream(settings):
    """The published loop: SciPy for every clip."""
    end_hz = settings.freq_end_hz or settings.sample_rate_hz / 2
    freqs = np.linspace(settings.freq_start_hz, end_hz, settings.num_freqs)
    amps = np.linspace(settings.amp_start, settings.amp_end, settings.num_amps)
    duration = int(settings.duration_s)
    t = np.linspace(0, duration, settings.sample_rate_hz * duration)
    makers = {
        "sine": np.sin, "triangle": lambda a: signal.sawtooth(a, 0.5), "sawtooth": signal.sawtooth, "square": signal.square,
    }  # fmt: skip
    rows = list(itertools.product(freqs, amps, WAVEFORMS))
    x = np.array([amp * makers[waveform](2 * np.pi * freq * t) for freq, amp, waveform in rows])
    metadata = {
        "freqs": np.array([r[0] for r in rows]),
        "amps": np.array([r[1] for r in rows]),
        "waveforms": np.array([r[2] for r in rows]),
    }
    return x, np.array([WAVEFORMS.index(row[2]) for row in rows]), metadata


SMALL = {"num_freqs": 5, "num_amps": 3, "sample_rate_hz": 4000, "legacy_time_axis": True}


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
@pytest.mark.parametrize("shards", [1, 7, 100])
def test_grid_is_the_published_one_in_the_published_order(tmp_path, form, shards):
    settings = Settings(**SMALL, form=form)
    result, output, _ = made(tmp_path, Request(settings, shards))
    x, y, metadata = upstream(settings)
    assert result.clips == 60 == len(x) and result.samples == 4000 and result.seconds == 60.0
    with open_grid(output) as grid:
        table = grid.table()
        assert np.abs(grid.samples(0, 60) - x).max() < 1e-7
        assert np.array_equal(grid.samples(17, 41), grid.samples(0, 60)[17:41]) and len(grid.samples(5, 5)) == 0
        pieces = list(grid.blocks(16))
        assert [first for first, _ in pieces] == [0, 16, 32, 48] and np.array_equal(
            np.concatenate([part for _, part in pieces]), grid.samples(0, 60)
        )
        with pytest.raises(InvalidValueError, match="no such rows"):
            grid.samples(0, 61)
        assert [factor.name for factor in grid.factors] == ["frequency", "amplitude", "waveform"]
        assert grid.factor("waveform").values == WAVEFORMS and grid.factor("frequency").unit == "Hz"
    assert np.array_equal(table["index"], np.arange(60)) and np.array_equal(table["waveform"], y) and table["waveform"].dtype == np.int64
    assert np.allclose(table["frequency"], metadata["freqs"]) and np.allclose(table["amplitude"], metadata["amps"])
    assert [(row // 4 // 3, row // 4 % 3, row % 4) for row in range(60)] == [
        (list(grid.factor("frequency").values).index(r.frequency), list(grid.factor("amplitude").values).index(r.amplitude), r.waveform)
        for r in table.itertuples()
    ]


def test_defaults_are_the_published_flags_and_sizes():
    settings = Settings()
    assert settings.clips == 32_000 and settings.samples == 16_000
    assert Settings(freq_start_hz=400, num_freqs=100, num_amps=10).clips == 4_000
    block = Renderer(Settings(legacy_time_axis=True)).block(4321, 4325)
    f, a = np.linspace(440, 8000, 400)[4321 // 80], np.linspace(0.1, 1, 20)[4321 % 80 // 4]
    assert 4321 % 4 == 1
    expected = a * signal.sawtooth(2 * np.pi * f * np.linspace(0, 1, 16000), 0.5)
    assert np.abs(block[0] - expected).max() < 1e-7 and block.dtype == np.float32


def test_any_grid_from_yaml_with_every_factor(tmp_path):
    settings = build(
        Settings,
        {
            "sample_rate_hz": 2000, "num_freqs": 1, "freq_end_hz": 440.0, "num_amps": 2,
            "factors": {
                "frequency": {"start": 100, "stop": 400, "num": 3, "scale": "log"},
                "phase": {"values": [0, 90]},
                "duty": {"values": [0.2, 0.5]},
                "envelope": {"values": ["flat", "pluck"]},
                "noise": {"values": [0, 60]},
                "duration": {"values": [0.25, 1.0]},
                "waveform": {"values": ["square", "sine"]},
            },
        },
    )  # fmt: skip
    assert settings.clips == 3 * 2 * 2 * 2 * 2 * 2 * 2 * 2 and build(Settings, to_dict(settings)) == settings
    result, output, _ = made(tmp_path, Request(settings, 3))
    with open_grid(output) as grid:
        table, sounds = grid.table(), grid.samples(0, grid.clips)
        assert [factor.name for factor in grid.factors] == list(table.columns)[1:]
    assert list(table.columns)[1:] == ["frequency", "amplitude", "phase", "duty", "envelope", "noise", "duration", "waveform"]
    assert np.allclose(sorted(set(table["frequency"])), [100, 200, 400])
    assert np.all(sounds[(table["duration"] == 0.25).to_numpy(), 500:] == 0) and np.all(np.abs(sounds).max(1) > 0)

    def cell(**wanted):
        chosen = np.ones(len(table), bool)
        for name, value in wanted.items():
            chosen &= np.isclose(table[name], value)
        assert chosen.sum() == 1
        return sounds[chosen][0]

    base = {
        "frequency": 200, "amplitude": 1.0, "phase": 0, "duty": 0.2, "envelope": 0, "noise": 60, "duration": 1.0, "waveform": 0,
    }  # fmt: skip
    assert np.mean(cell(**base) > 0) == pytest.approx(0.2, abs=0.01) and np.mean(cell(**{**base, "duty": 0.5}) > 0) == pytest.approx(0.5)
    assert np.abs(cell(**{**base, "envelope": 1})[-20:]).max() < 0.01
    sine = {**base, "waveform": 1}
    assert cell(**{**sine, "phase": 90})[0] == pytest.approx(1, abs=0.01) and cell(**sine)[0] == pytest.approx(0, abs=0.01)
    clean, noisy = cell(**sine), cell(**{**sine, "noise": 0})
    assert np.mean((noisy - clean) ** 2) == pytest.approx(np.mean(clean**2), rel=0.1)
    assert any("duty changes the square only: clips of sine" in text for text in result.warnings)


def test_shards_and_batches_change_nothing(tmp_path):
    settings = Settings(
        sample_rate_hz=2000, num_freqs=3, num_amps=2, factors=build(Settings, {"factors": {"noise": {"values": [3]}}}).factors
    )
    _, one, _ = made(tmp_path, Request(settings, 1), "one")
    _, five, _ = made(tmp_path, Request(settings, 5), "five")
    with open_grid(one) as a, open_grid(five) as b:
        assert np.array_equal(a.samples(0, 24), b.samples(0, 24)) and a.table().equals(b.table())


def test_interrupted_grid_goes_on_at_the_first_missing_shard(tmp_path):
    request = Request(Settings(sample_rate_hz=2000, num_freqs=4, num_amps=2), 4)
    output = tmp_path / "stages" / "grid"
    (output / "shards").mkdir(parents=True)
    context = Context(output, tmp_path, emit=lambda kind, values: None)
    run_shards(request, context, [1, 3])
    before = (context.shard_folder(1) / "clips.parquet").stat().st_mtime_ns
    result, _, _ = made(tmp_path, request)
    assert result.clips == 32 and (context.shard_folder(1) / "clips.parquet").stat().st_mtime_ns == before


def test_timbre_warning_is_computed_from_the_frequencies(tmp_path):
    wide, output, logged = made(tmp_path, Request(Settings(num_amps=1, amp_start=1.0, num_freqs=100, freq_start_hz=400.0), 1), "wide")
    freqs = np.linspace(400, 8000, 100)
    assert wide.ambiguous_timbre == pytest.approx(np.mean(3 * freqs >= 8000)) and 0.68 < wide.ambiguous_timbre < 0.72
    description = json.loads((output / "grid.json").read_text())
    assert description["timbre"]["without_overtone"]["sawtooth"] == pytest.approx(np.mean(2 * freqs >= 8000))
    assert "by aliasing only" in wide.warnings[0] and wide.warnings[0] in (output / "README.md").read_text()
    assert any(kind == "log" and wide.warnings[0] in values["message"] for kind, values in logged)
    assert wide.silent == 1 and "1 of 400 clips are silent" in " ".join(wide.warnings), "an exact sine at half the sample rate"
    low = Settings(num_amps=1, num_freqs=3, freq_start_hz=200.0, freq_end_hz=2000.0, oscillator="band_limited")
    assert made(tmp_path, Request(low, 1), "low")[0].warnings == ()
    high = Settings(num_amps=1, num_freqs=3, freq_start_hz=200.0, freq_end_hz=7000.0, oscillator="band_limited")
    assert "differ in level and phase only" in made(tmp_path, Request(high, 1), "high")[0].warnings[0]


def test_shards_open_with_plain_tools(tmp_path):
    settings = Settings(sample_rate_hz=2000, num_freqs=2, num_amps=2)
    _, parquet, _ = made(tmp_path, Request(settings, 2), "parquet")
    _, archive, _ = made(tmp_path, Request(build(Settings, {**to_dict(settings), "form": "webdataset"}), 2), "archive")
    first = pq.read_table(parquet / "clips/0000/clips.parquet")
    assert str(first.schema.field("samples").type) == "fixed_size_list<element: float>[2000]" and first.num_rows == 8
    frame = pd.read_parquet(parquet / "clips/0001/clips.parquet")
    assert frame["waveform"].tolist() == list(WAVEFORMS) * 2 and frame["index"].tolist() == list(range(8, 16))
    with tarfile.open(archive / "clips/0001/clips.tar") as opened:
        names = opened.getnames()
        assert names[:2] == ["00000008.wav", "00000008.json"] and len(names) == 16
        sound, rate_hz = soundfile.read(io.BytesIO(opened.extractfile("00000009.wav").read()), dtype="float32")
        told = json.loads(opened.extractfile("00000009.json").read())
    assert rate_hz == 2000 and np.array_equal(sound, frame["samples"][1]) and told["waveform"] == "triangle" and told["index"] == 9


def test_upstream_npz_is_the_published_file_and_comes_in_again(tmp_path):
    settings = Settings(**SMALL, npz="upstream")
    _, output, _ = made(tmp_path, Request(settings, 2), "out")
    x, y, metadata = upstream(settings)
    with np.load(output / npz.FILE, allow_pickle=True) as opened:  # the test's own file
        assert sorted(opened.files) == ["classes", "metadata", "x", "y"] and opened["x"].dtype == np.float64
        assert np.abs(opened["x"] - x).max() < 1e-9 and np.array_equal(opened["y"], y) and opened["classes"].tolist() == list(WAVEFORMS)
        found = opened["metadata"].item()
        assert np.allclose(found["freqs"], metadata["freqs"]) and np.allclose(found["amps"], metadata["amps"])
        assert found["waveforms"].tolist() == metadata["waveforms"].tolist()
    again, taken, _ = made(tmp_path, Request(Settings(sample_rate_hz=4000, npz="plain"), 3, str(output / npz.FILE)), "in")
    assert again.clips == 60 and json.loads((taken / "grid.json").read_text())["oscillator"] == "published file"
    with open_grid(taken) as grid:
        assert np.array_equal(grid.samples(0, 60), x.astype(np.float32)) or np.abs(grid.samples(0, 60) - x).max() < 1e-7
        assert np.array_equal(grid.table()["waveform"], y) and np.array_equal(grid.table()["frequency"], metadata["freqs"])
    with np.load(taken / npz.FILE, allow_pickle=False) as opened:
        assert opened["x"].dtype == np.float32 and opened["waveforms"].tolist() == metadata["waveforms"].tolist()
        assert np.array_equal(opened["amps"], metadata["amps"])
    third, plain, _ = made(tmp_path, Request(Settings(sample_rate_hz=4000), 1, str(taken / npz.FILE)), "plain")
    with open_grid(plain) as grid, open_grid(taken) as before:
        assert third.clips == 60 and np.array_equal(grid.samples(0, 60), before.samples(0, 60))


@pytest.mark.parametrize(
    "fields, where",
    [
        ({"factors": {"colour": {"values": [1]}}}, "factors.colour"),
        ({"factors": {"waveform": {"values": ["noise"]}}}, "factors.waveform"),
        ({"factors": {"duty": {"values": [1.5]}}}, "factors.duty"),
        ({"factors": {"phase": {"start": 0, "stop": 90}}}, "factors"),
        ({"factors": {"frequency": {"start": 0, "stop": 90, "num": 3, "scale": "log"}}}, "factors"),
        ({"factors": {"frequency": {"values": ["high"]}}}, "factors.frequency"),
        ({"factors": {"amplitude": {"values": [0.5, 0.5]}}}, "factors"),
        ({"factors": {"duration": {"values": [2.0]}}}, "factors.duration"),
        ({"freq_end_hz": 9000.0}, "factors.frequency"),
        ({"num_freqs": 1_000_000, "num_amps": 1000}, "synthesize_grid"),
    ],
)
def test_impossible_grids_are_refused_by_name(fields, where):
    with pytest.raises(InvalidValueError) as caught:
        build(Settings, fields)
    assert caught.value.where == where


def test_sounds_outlive_the_shards_folders(tmp_path):
    settings = Settings(sample_rate_hz=2000, num_freqs=2, num_amps=2)
    _, output, _ = made(tmp_path, Request(settings, 2), "lasting")
    with open_grid(output) as grid:
        before = grid.samples(0, 16)
    shutil.rmtree(output / "shards")  # what the engine does with finished work
    with open_grid(output) as grid:
        assert np.array_equal(grid.samples(0, 16), before)
