import numpy as np
import pytest
import torch
from scipy import signal

from core import audio
from core.errors import InvalidValueError
from tasks.spatial import convolution as plain
from tasks.spatial.dry import fitted, load_dry
from tasks.spatial_features.convolution import convolve, convolve_each, copied, mixed, moving, padded, segments

rng = np.random.default_rng(3)
DRY = rng.standard_normal((3, 997)).astype(np.float32)
RIRS = (rng.standard_normal((2, 4, 301)) * np.exp(-np.arange(301) / 60)).astype(np.float32)


def wanted(dry, rir, delay=0, length=0):
    """The sum of the definition, by scipy's direct method in float64."""
    full = np.stack([signal.convolve(dry.astype(float), channel.astype(float), method="direct") for channel in rir])
    full = np.pad(full, ((0, 0), (0, 5000)))
    return full[:, delay : delay + (length or dry.size)]


@pytest.mark.parametrize(("delay", "length"), [(0, 0), (40, 0), (40, 500), (7, 2000)])
def test_both_convolutions_are_the_definition(delay, length):
    expected = np.stack([[wanted(dry, rir, delay, length) for rir in RIRS] for dry in DRY])
    found = convolve(torch.from_numpy(DRY), torch.from_numpy(RIRS), delay, length).numpy()
    numpy = np.stack([plain.convolve(dry, RIRS, delay, length) for dry in DRY])
    assert found.dtype == numpy.dtype == np.float32 and found.shape == numpy.shape == (3, 2, 4, length or 997)
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() < 1e-6 * scale and np.abs(numpy - expected).max() < 1e-6 * scale


def test_a_result_hangs_neither_on_the_batch_nor_on_how_long_the_other_rirs_are():
    short = [RIRS[0][:, :90], RIRS[1]]
    together = convolve(torch.from_numpy(DRY), padded([torch.from_numpy(one) for one in short]))
    alone = convolve(torch.from_numpy(DRY[:1]), torch.from_numpy(short[0])[None])
    assert torch.allclose(together[0, 0], alone[0, 0], atol=1e-5)
    each = convolve_each(torch.from_numpy(DRY[:2]), torch.from_numpy(RIRS), 40)
    block = convolve(torch.from_numpy(DRY[:2]), torch.from_numpy(RIRS), 40)
    assert torch.equal(each[0], block[0, 0]) and torch.equal(each[1], block[1, 1])


def test_wrong_shapes_and_delays_are_refused():
    dry, rirs = torch.from_numpy(DRY), torch.from_numpy(RIRS)
    for call in (lambda: convolve(dry[0], rirs), lambda: convolve(dry, rirs, 301), lambda: plain.convolve(DRY[0, :0], RIRS)):
        with pytest.raises(InvalidValueError):
            call()
    with pytest.raises(InvalidValueError, match="one RIR a clip"):
        convolve_each(dry, rirs)


def test_lengths_are_fast_ones_and_never_shorter():
    for number in (1, 7, 997, 480_000 + 12_345, 527_999):
        found = plain.fast_length(number)
        rest = found
        for factor in (2, 3, 5, 7, 11):
            while rest % factor == 0:
                rest //= factor
        assert found >= number and found < 1.1 * number + 4 and rest == 1


def test_sources_add_up_with_gain_and_onset():
    first, second = torch.ones(4, 10), torch.ones(4, 10)
    total = mixed([first, second], gains_db=[0.0, -20.0], onsets=[0, 6])
    assert torch.allclose(total[:, :6], torch.ones(4, 6)) and torch.allclose(total[:, 6:], torch.full((4, 4), 1.1))
    assert torch.equal(mixed([first, second], onsets=[0, 30]), first) and torch.equal(first, torch.ones(4, 10))


def test_a_moving_source_fades_from_place_to_place_and_a_resting_one_stays_itself():
    weights = segments(997, 3)
    assert torch.allclose(weights.sum(0), torch.ones(997)) and weights[0, 0] == 1 and weights[1, 498] == 1 and weights[2, -1] == 1
    dry, rirs = torch.from_numpy(DRY[0]), torch.from_numpy(RIRS)
    resting = moving(dry, rirs[:1].repeat(3, 1, 1))
    assert torch.allclose(resting, convolve(dry[None], rirs[:1])[0, 0], atol=1e-5)
    assert torch.allclose(moving(dry, rirs[:1]), convolve(dry[None], rirs[:1])[0, 0], atol=1e-5)
    along = moving(dry, rirs)
    fade = np.linspace(1, 0, 997)
    expected = wanted(DRY[0] * fade, RIRS[0]) + wanted(DRY[0] * (1 - fade), RIRS[1])
    assert np.abs(along.numpy() - expected).max() < 1e-5 * np.abs(expected).max()


def test_mono_items_are_copied_to_all_channels():
    sound = torch.from_numpy(DRY)
    assert copied(sound).shape == (3, 4, 997) and all(torch.equal(copied(sound)[:, channel], sound) for channel in range(4))


def test_dry_clips_are_mono_at_one_rate_and_exactly_as_long_as_asked(tmp_path):
    stereo = np.stack([np.sin(np.arange(4410) / 9), np.zeros(4410)]).astype(np.float32) * 0.5
    audio.write(tmp_path / "short.wav", stereo, 44_100, "FLOAT")
    found = load_dry(tmp_path / "short.wav", 48_000, 0.25)
    assert found.shape == (12_000,) and found.dtype == np.float32
    assert np.array_equal(found[4800:9600], found[:4800]) and np.array_equal(found[9600:], found[:2400])
    assert np.abs(found[:4800]).max() == pytest.approx(0.25, abs=0.01), "the mean of both channels"
    assert np.array_equal(load_dry(tmp_path / "short.wav", 48_000, 0.25), found)
    assert np.array_equal(load_dry(tmp_path / "short.wav", 48_000, 0.05), found[:2400])
    with pytest.raises(InvalidValueError, match="no samples"):
        fitted(found[:0], 10)
