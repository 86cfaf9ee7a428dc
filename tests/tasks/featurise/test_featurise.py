import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import signal

from core.context import Context
from core.contract import build
from core.errors import InvalidValueError
from tasks.featurise.spec import Request, Settings
from tasks.featurise.splits import split_of
from tasks.featurise.stage import run, run_shards
from tasks.grid.features import open_features
from tasks.grid.mel import MelFrontEnd
from tests.tasks.featurise.grids import RATE, write_grid


def made(root, grid, shards=3, name="aa", **settings):
    output = root / "stages/featurise" / name
    (output / "shards").mkdir(parents=True)
    context = Context(output, root, final=f"stages/featurise/{name}", emit=lambda kind, values: None)
    request = Request(grid, build(Settings, settings), shards)
    run_shards(request, context, [shard for shard in range(shards) if not context.shard_is_done(shard)])
    return run(request, context), open_features(output)


def slaney_mel(hz):
    """Slaney's mel scale: linear to 1 kHz (15 mels), then 27 to a factor of 6.4."""
    hz = np.asarray(hz, float)
    return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))


def slaney_hz(mel):
    mel = np.asarray(mel, float)
    return np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def librosa_mel(sound, n_fft=2048, hop=512, mels=128, power=2.0):
    """librosa.feature.melspectrogram in numpy and SciPy, double precision: an independent computation."""
    padded = np.pad(np.asarray(sound, float), n_fft // 2)
    window = signal.get_window("hann", n_fft, fftbins=True)
    frames = np.stack([padded[start : start + n_fft] * window for start in range(0, len(padded) - n_fft + 1, hop)])
    spectrum = np.abs(np.fft.rfft(frames, axis=1)) ** power
    bins, edges = np.arange(n_fft // 2 + 1) * RATE / n_fft, slaney_hz(np.linspace(0, slaney_mel(RATE / 2), mels + 2))
    bank = np.zeros((mels, len(bins)))
    for m in range(mels):
        low, middle, high = edges[m : m + 3]
        bank[m] = np.clip(np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)), 0, None) * 2 / (high - low)
    return bank @ spectrum.T


@pytest.mark.parametrize("power, mels", [(2.0, 128), (1.0, 64)])
def test_front_end_is_librosas(power, mels):
    rng = np.random.default_rng(0)
    sounds = np.stack([rng.standard_normal(RATE), np.sin(np.arange(RATE) / 3), rng.uniform(-1, 1, RATE) ** 5]).astype(np.float32)
    ours = MelFrontEnd(RATE, mels=mels, power=power)(torch.from_numpy(sounds)).numpy()
    assert ours.shape == (3, mels, 32)
    for sound, found in zip(sounds, ours, strict=True):
        expected = librosa_mel(sound, mels=mels, power=power)
        assert np.abs(found - expected).max() < 2e-4 * expected.max() and np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999999


@pytest.mark.parametrize("n_fft, mels, f_min_hz", [(2048, 128, 0.0), (256, 100, 20.0), (512, 13, 3000.0)])
def test_triangles_in_groups_are_all_triangles_at_once(n_fft, mels, f_min_hz):
    front_end = MelFrontEnd(RATE, n_fft, n_fft // 2, mels, f_min_hz=f_min_hz)
    assert (front_end.filters.sum(0) == 0).any() == (n_fft == 256)  # triangles between two bins
    sounds = torch.randn(3, RATE, generator=torch.Generator().manual_seed(0))
    expected = torch.einsum("cbf,bm->cmf", front_end.spectrum(sounds).double(), front_end.filters.double())
    found = front_end(sounds)
    assert found.shape == expected.shape == (3, mels, 1 + RATE // (n_fft // 2))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5 * float(expected.max()))


def test_features_undo_to_the_mel_power_of_every_clip(tmp_path):
    grid, sounds = write_grid(tmp_path)
    expected = np.stack([librosa_mel(sound) for sound in sounds])
    for normalisation in ("log_db", "global_max"):
        result, features = made(tmp_path, grid, name=normalisation, normalisation=normalisation)
        assert (result.clips, result.mels, result.frames) == (16, 128, 32) and result.flagged == ()
        assert features.array.shape == (16, 1, 128, 32) and features.array.dtype == np.float32 and features.array.flags.c_contiguous
        assert isinstance(features.array, np.memmap) and features.array.min() >= 0 and result.clipped == 0
        power = features.to_power(features.array[:, 0])
        loud = expected > expected.max() * 1e-5
        assert np.allclose(power[loud], expected[loud], rtol=2e-3)
        assert features.factors[2].values == ("sine", "triangle", "sawtooth", "square") and features.frames == 32
    assert features.description["grid_warnings"] == ["a warning of the grid"]
    train = features.rows("train")
    assert features.array[train].max() == pytest.approx(1), "divided by the greatest value of the train clips"


def test_log_db_is_decibels_re_a_fixed_reference(tmp_path):
    grid, sounds = write_grid(tmp_path)
    _, features = made(tmp_path, grid, floor_db=-60.0, reference_power=10.0)
    expected = np.clip(1 + 10 * np.log10(np.maximum(librosa_mel(sounds[5]), 1e-30) / 10.0) / 60, 0, 1)
    assert np.abs(features.array[5, 0] - expected).max() < 1e-3
    assert features.description["offset"] == -60 and features.description["scale"] == 60


def level(array):
    return np.asarray(array, float).reshape(len(array), -1)


def r_squared(inputs, wanted):
    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    solution, *_ = np.linalg.lstsq(inputs, wanted, rcond=None)
    return 1 - np.sum((inputs @ solution - wanted) ** 2) / np.sum((wanted - wanted.mean()) ** 2)


def test_amplitude_is_recoverable_unless_the_legacy_normalisation_erases_it(tmp_path):
    amps = tuple(float(a) for a in np.linspace(0.1, 1, 8))
    grid, _ = write_grid(tmp_path, freqs=(500.0, 1000.0, 1700.0), amps=amps, waveforms=("sine", "square"))
    _, of_max = made(tmp_path, grid, name="max", normalisation="global_max")
    _, of_db = made(tmp_path, grid, name="db")
    result, legacy = made(tmp_path, grid, name="legacy", normalisation="legacy_frame_max")
    amplitude = of_db.table["amplitude"].to_numpy()
    cell = of_db.table.groupby(["frequency", "waveform"]).ngroup().to_numpy()
    one_hot = np.eye(6)[cell][:, 1:]
    # The square root of the whole power is proportional to the amplitude within a cell; dB are so to its logarithm.
    root = np.sqrt(level(of_max.array).sum(1))
    assert r_squared(np.column_stack([np.eye(6)[cell] * root[:, None], one_hot]), amplitude) > 0.99
    db = level(of_db.array).max(1)
    assert r_squared(np.column_stack([db, one_hot]), np.log(amplitude)) > 0.99
    soft, loud = (np.flatnonzero((amplitude == value) & (cell == 0))[0] for value in (amps[0], amps[-1]))
    assert np.abs(legacy.array[soft] - legacy.array[loud]).max() < 1e-5, "0.1 and 1.0 are the same picture"
    assert np.abs(of_max.array[soft] - of_max.array[loud]).max() > 0.1 and np.abs(of_db.array[soft] - of_db.array[loud]).max() > 0.1
    assert any("erases amplitude" in text for text in result.flagged) and legacy.flagged == list(result.flagged)
    expected = librosa_mel(np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE))
    assert np.allclose(legacy.array[loud, 0], expected / expected.max(axis=0), atol=2e-3)


def test_shards_and_batches_change_nothing_and_parts_are_not_kept(tmp_path):
    grid, _ = write_grid(tmp_path, freqs=(440.0, 700.0, 3000.0))
    for normalisation in ("log_db", "global_max"):
        _, one = made(tmp_path, grid, 1, f"one-{normalisation}", normalisation=normalisation, batch_clips=7)
        _, five = made(tmp_path, grid, 50, f"five-{normalisation}", normalisation=normalisation)
        assert np.allclose(one.array, five.array, atol=1e-6) and one.table.equals(five.table)
        assert not list(five.folder.glob("shards/*/values.npy"))


def test_silent_frames_stay_silent_in_every_normalisation(tmp_path):
    grid, _ = write_grid(tmp_path, amps=(0.0, 1.0))
    for name in ("log_db", "global_max", "legacy_frame_max"):
        _, features = made(tmp_path, grid, name=name, normalisation=name)
        silent = features.table["amplitude"].to_numpy() == 0
        assert np.isfinite(features.array).all() and np.all(features.array[silent] == 0) and features.array[~silent].max() > 0.5


def test_other_widths_are_refused_with_what_to_change(tmp_path):
    grid, _ = write_grid(tmp_path, samples=RATE // 2)
    result, _ = made(tmp_path, grid)
    assert result.frames == 16
    with pytest.raises(InvalidValueError, match=r"hop=\d+ or clips of") as caught:
        made(tmp_path, grid, name="b", hop=300)
    assert "received: 27" in str(caught.value)
    hop = int(str(caught.value).split("hop=")[1].split(" ")[0])
    assert made(tmp_path, grid, name="c", hop=hop)[0].frames == 24
    with pytest.raises(InvalidValueError, match="not a multiple of 8"):
        Settings(mels=100)
    with pytest.raises(InvalidValueError, match="longer than the clips"):
        made(tmp_path, grid, name="d", n_fft=32768)


def table_of(freqs=20, amps=5, waveforms=4):
    rows = [(f, a, w) for f in np.linspace(440, 8000, freqs) for a in np.linspace(0.1, 1, amps) for w in range(waveforms)]
    return pd.DataFrame(rows, columns=["frequency", "amplitude", "waveform"]).assign(index=range(len(rows)))


def test_no_combination_lies_in_two_splits():
    table = table_of()
    split = split_of(table, Settings())
    assert table.assign(split=split).groupby(["waveform", "frequency"])["split"].nunique().max() == 1
    assert [(split == name).sum() for name in ("train", "val", "test")] == [320, 40, 40]
    assert np.array_equal(split, split_of(table, Settings())) and not np.array_equal(split, split_of(table, Settings(seed=1)))
    shuffled = table.sample(frac=1, random_state=0).reset_index(drop=True)
    again = shuffled.assign(split=split_of(shuffled, Settings())).sort_values("index")["split"].to_numpy()
    assert np.array_equal(again, split), "hangs on the values, not on the order of the rows"
    by_frequency = table.assign(split=split_of(table, Settings(split_by=("frequency",))))
    assert by_frequency.groupby("frequency")["split"].nunique().max() == 1
    assert set(split_of(table, Settings(val_fraction=0.0, test_fraction=0.0))) == {"train"}
    with pytest.raises(InvalidValueError, match="did you mean 'amplitude'"):
        split_of(table, Settings(split_by=("amplitud",)))
    with pytest.raises(InvalidValueError, match="no clip is left for"):
        split_of(table_of(1, 5, 2), Settings())


def test_legacy_split_is_scikit_learns():
    # train_test_split(range(n), test_size=0.2, random_state=42) of scikit-learn 1.9.1
    known = {50: [13, 39, 30, 45, 17, 48, 26, 25, 32, 19], 33: [31, 15, 26, 17, 8, 9, 19]}
    train = [12, 4, 37, 8, 3, 6, 41, 46, 47, 15]
    for count, test in known.items():
        split = split_of(table_of(count, 1, 1), Settings(legacy_split=True))
        assert sorted(np.flatnonzero(split == "test")) == sorted(test)
    without_val = split_of(table_of(50, 1, 1), Settings(legacy_split=True, val_fraction=0.0))
    assert set(np.flatnonzero(without_val == "train")) >= set(train) and (without_val == "train").sum() == 40
    assert sorted(np.flatnonzero(split_of(table_of(50, 1, 1), Settings(legacy_split=True)) == "val")) == sorted(train[:4])


def test_legacy_split_is_flagged(tmp_path):
    grid, _ = write_grid(tmp_path)
    result, features = made(tmp_path, grid, legacy_split=True)
    assert result.test == 4 and any("legacy_split" in text for text in features.flagged)
    assert json.loads((features.folder / "features.json").read_text())["flagged"] == list(result.flagged)


def test_interrupted_featurising_goes_on(tmp_path):
    grid, _ = write_grid(tmp_path)
    _, whole = made(tmp_path, grid, name="whole")
    output = tmp_path / "stages/featurise/cut"
    (output / "shards").mkdir(parents=True)
    context = Context(output, tmp_path, emit=lambda kind, values: None)
    request = Request(grid, Settings(), 3)
    run_shards(request, context, [1])
    run_shards(request, context, [0, 2])
    run(request, context)
    run(request, context)  # an attempt that ended before its result was written
    assert np.array_equal(open_features(output).array, whole.array)
