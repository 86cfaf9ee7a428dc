import numpy as np
import pytest

from core import dsp

RATE = 16000


def test_coloured_noise_has_the_slope_it_is_asked_for():
    for slope in (-6.0, 0.0):
        noise = dsp.coloured_noise(np.random.default_rng(0), 1 << 18, slope)
        power = np.abs(np.fft.rfft(noise)) ** 2
        octaves = [10 * np.log10(power[1 << k : 2 << k].mean()) for k in range(8, 16)]
        assert np.polyfit(range(8), octaves, 1)[0] == pytest.approx(slope, abs=0.4)


def test_oscillator_never_aliases():
    sound = dsp.oscillator(np.full(RATE, 3000.0), RATE, np.ones(10))
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(RATE)))
    peaks = {int(k) for k in np.flatnonzero(spectrum > 0.1 * spectrum.max())}
    assert all(min(abs(k - 3000), abs(k - 6000)) <= 2 for k in peaks)


def test_decay_falls_by_60_db_in_t60():
    times = dsp.time_axis(2.0, RATE)
    envelope = dsp.decay(times, 0.0, 1.0)
    assert 20 * np.log10(envelope[RATE + 1600] / envelope[1600]) == pytest.approx(-60, abs=0.1)
    assert dsp.decay(times, 0.5, 1.0)[: RATE // 2].max() == 0


def test_mix_reaches_the_snr_and_level_is_kept_below_the_peak():
    rng = np.random.default_rng(1)
    sound, noise = dsp.coloured_noise(rng, RATE, 0), dsp.coloured_noise(rng, RATE, 0)
    added = dsp.mix_at_snr(sound, noise, 12.0) - sound
    assert 20 * np.log10(np.std(sound) / np.std(added)) == pytest.approx(12.0, abs=0.05)
    assert 20 * np.log10(np.sqrt(np.mean(dsp.at_level(sound, -30) ** 2))) == pytest.approx(-30, abs=0.01)
    assert np.abs(dsp.at_level(sound, 0)).max() <= 0.97 + 1e-9


def test_silence_stays_silence():
    assert not dsp.unit_rms(np.zeros(10)).any() and not dsp.at_level(np.zeros(10), -20).any()
