import json

import numpy as np
import pytest

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.augment.methods import apply
from tasks.augment.spec import Request, Settings
from tasks.augment.stage import run, run_shards

RATE = 16000
METHODS = ("random_noise", "pitch_shift", "audiomentations", "room")


def tone(frequency_hz, seconds=1.0):
    return (0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("augment")
    rows = []
    for number in range(5):
        path = f"stages/caption/aa/{number}.wav"
        audio.write(root / path, tone(300 + 100 * number, 0.5 + 0.1 * number), RATE)
        rows.append(manifest.row(f"{number:016x}", path, "gold", label="ab"[number % 2], split="train", caption="a tone", duration_s=0.5))
    manifest.write(root / "stages/caption/aa", manifest.frame(rows))
    return root


def made(root, name, shards, **settings):
    output = root / "stages/augment" / name
    output.mkdir(parents=True)
    context = Context(output, root, final=f"stages/augment/{name}", emit=lambda kind, values: None)
    request = Request("stages/caption/aa", shards, Settings(**settings))
    for shard in reversed(range(shards)):
        run_shards(request, context, [shard])
    return run(request, context), manifest.read(output), output


@pytest.mark.parametrize("method", METHODS)
def test_copies_keep_length_label_and_lineage_and_differ_from_the_original(data_root, method):
    result, table, output = made(data_root, f"copies-{method}", 2, method=method, num_iters=3)
    assert result.clips == len(table) == 15 and result.rejected == 0
    source = manifest.read(data_root / "stages/caption/aa").set_index("clip_id")
    for row in table.itertuples():
        original = source.loc[row.parents[0]]
        assert (row.label, row.split, row.origin) == (original.label, "train", "augment")
        samples, rate = audio.read(output / "audio" / f"{row.clip_id}.flac")
        gold, _ = audio.read(data_root / original.path)
        assert rate == RATE and samples.shape == gold.shape and np.abs(samples).max() <= 1.0
        assert np.abs(samples - gold).max() > 1e-3
        assert json.loads(row.parameters)["method"] == method
    assert table["sha256"].nunique() == 15, "every copy is another one"


@pytest.mark.parametrize("method", METHODS)
def test_shards_and_reruns_give_the_same_bytes(data_root, method):
    first = made(data_root, f"one-{method}", 1, method=method)[1]
    second = made(data_root, f"four-{method}", 4, method=method)[1]
    assert list(first["sha256"]) == list(second["sha256"]) and list(first["clip_id"]) == list(second["clip_id"])


def test_noise_has_the_ratio_that_is_recorded():
    clean = tone(440)
    noisy, parameters = apply(clean, RATE, 3, Settings(method="random_noise", min_snr_db=10, max_snr_db=20))
    measured = 10 * np.log10(np.mean(clean**2) / np.mean((noisy - clean) ** 2))
    assert 10 <= parameters["snr_db"] <= 20 and measured == pytest.approx(parameters["snr_db"], abs=0.2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pitch_is_shifted_by_the_recorded_interval(seed):
    shifted, parameters = apply(tone(440), RATE, seed, Settings(method="pitch_shift"))
    spectrum = np.abs(np.fft.rfft(shifted[2000:-2000] * np.hanning(shifted.size - 4000)))
    peak_hz = spectrum.argmax() * RATE / (shifted.size - 4000)
    assert 12 * np.log2(peak_hz / 440) == pytest.approx(parameters["semitones"], abs=0.25)


def test_room_decays_at_the_recorded_rate():
    click = np.zeros(2 * RATE, np.float32)
    click[0] = 0.9
    wet, parameters = apply(click, RATE, 5, Settings(method="room", min_t60_s=0.4, max_t60_s=0.8))
    energy = np.cumsum((wet[1:].astype(np.float64) ** 2)[::-1])[::-1]  # Schroeder's backward integration
    decay_db = 10 * np.log10(energy / energy[0])
    t20 = np.argmax(decay_db < -25) - np.argmax(decay_db < -5)
    assert 3 * t20 / RATE == pytest.approx(parameters["t60_s"], rel=0.1)


def test_limits_that_cross_are_refused():
    with pytest.raises(InvalidValueError, match=r"augment\.min_snr_db"):
        Settings(min_snr_db=20, max_snr_db=10)
