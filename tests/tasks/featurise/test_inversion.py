import numpy as np
import pytest
import torch

from core.errors import InvalidValueError
from tasks.grid.inversion import mel_to_sound, mel_to_spectrum
from tasks.grid.mel import MelFrontEnd

RATE = 16000


@pytest.fixture(scope="module")
def front_end():
    torch.set_num_threads(1)
    return MelFrontEnd(RATE)


def tone(hz, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype(np.float32)


def test_round_trip_of_a_tone_keeps_its_pitch_and_level(front_end):
    sounds = np.stack([tone(1000.0), tone(300.0, 0.1)])
    back = mel_to_sound(front_end(torch.from_numpy(sounds)), front_end, RATE, iterations=64)
    assert back.shape == (2, RATE) and back.dtype == np.float32
    peaks = np.abs(np.fft.rfft(back)).argmax(axis=1)
    assert abs(peaks[0] - 1000) <= 8 and abs(peaks[1] - 300) <= 8, "within one bin of the transform, 7.8 Hz"
    assert np.sqrt(np.mean(back**2, axis=1)) == pytest.approx(np.sqrt(np.mean(sounds**2, axis=1)), rel=0.15)


def test_more_iterations_come_closer_and_the_phase_is_seeded(front_end):
    power = front_end(torch.from_numpy(np.stack([tone(1000.0), tone(440.0)])))

    def error(sounds):
        return float((front_end(torch.from_numpy(sounds)) - power).norm() / power.norm())

    few, many = (mel_to_sound(power, front_end, RATE, iterations=count) for count in (2, 64))
    assert error(many) < 0.7 * error(few)
    assert np.array_equal(few, mel_to_sound(power, front_end, RATE, iterations=2))
    assert not np.array_equal(few, mel_to_sound(power, front_end, RATE, iterations=2, seed=1))
    alone = mel_to_sound(power[1], front_end, RATE, iterations=2)
    assert np.allclose(alone[0], few[1], atol=1e-4), "a clip sounds the same in every batch"


def test_spectrum_is_not_negative_and_has_the_mel_power(front_end):
    rng = np.random.default_rng(0)
    power = front_end(torch.from_numpy(rng.standard_normal((2, RATE)).astype(np.float32)))
    spectrum = mel_to_spectrum(power, front_end)
    assert spectrum.shape == (2, 1025, 32) and float(spectrum.min()) >= 0
    back = torch.matmul(spectrum.transpose(1, 2), front_end.filters).transpose(1, 2)
    assert float((back - power).norm() / power.norm()) < 0.01


def test_silence_stays_silent_and_a_vocoder_takes_the_algorithms_place(front_end):
    assert np.abs(mel_to_sound(np.zeros((128, 32)), front_end, RATE, iterations=2)).max() < 1e-6

    def vocoder(mel, used):
        assert used is front_end
        return mel.sum(dim=1).repeat_interleave(100, dim=1)

    assert np.array_equal(mel_to_sound(np.ones((1, 128, 32)), front_end, 3300, vocoder=vocoder)[0, 3190:], [128] * 10 + [0] * 100)


@pytest.mark.parametrize("power", [np.zeros((64, 32)), np.full((128, 32), -1.0), np.full((128, 32), np.nan), np.zeros((1, 1, 128, 32))])
def test_what_is_no_mel_power_is_refused(front_end, power):
    with pytest.raises(InvalidValueError, match=r"mel_to_sound\.power"):
        mel_to_sound(power, front_end, RATE)
