"""T30, EDT, C50 and DRR on decays whose measures are known, and beside pyroomacoustics' own T30."""

import numpy as np
import pytest
from pyroomacoustics.experimental import measure_rt60
from scipy import signal

from tasks.spatial import acoustics

RATE = 16000


def noise_decay(t60_s, length_s=None, seed=0, rate=RATE):
    times = np.arange(int((length_s or 1.5 * t60_s) * rate)) / rate
    return np.random.default_rng(seed).standard_normal(len(times)) * 10 ** (-3 * times / t60_s)


@pytest.mark.parametrize("t60_s", [0.15, 0.5, 2.0])
def test_a_known_decay_is_measured(t60_s):
    found = acoustics.measure(noise_decay(t60_s), RATE, arrival=0)
    assert found.t30_ms == pytest.approx(1000 * t60_s, rel=0.03) and found.fit_r < -0.999 and not found.direct_excluded
    assert found.edt_ms == pytest.approx(1000 * t60_s, rel=0.1)
    # Of an ideal exponential, C50 = 10 log10(exp(13.8 · 0.05 / T) − 1).
    assert found.c50_db == pytest.approx(10 * np.log10(np.expm1(6 * np.log(10) * 0.05 / t60_s)), abs=1.0)
    assert found.t30_ms == pytest.approx(1000 * measure_rt60(noise_decay(t60_s), fs=RATE, decay_db=30), rel=0.02)


def test_the_curve_is_schroeders_and_the_line_the_exact_one():
    samples = 10 ** (-3 * np.arange(2 * RATE) / RATE / 0.8)
    levels = acoustics.energy_decay_db(samples)
    assert levels[0] == 0 and np.allclose(levels[: RATE // 2], -60 * np.arange(RATE // 2) / RATE / 0.8, atol=1e-3)
    fit = acoustics.fit_decay(levels, 1 / RATE, -5.0, -35.0)
    times = np.arange(len(levels))[(levels <= -5) & (levels >= -35)] / RATE
    slope, level = np.polyfit(times, levels[(levels <= -5) & (levels >= -35)], 1)
    assert (
        fit.time_s == pytest.approx(-60 / slope) and fit.intercept_db == pytest.approx(level) and fit.time_s == pytest.approx(0.8, rel=1e-4)
    )
    assert fit.r == pytest.approx(-1) and fit.start_s == times[0]


def test_the_direct_sound_counts_in_the_ratio_and_is_left_out_where_it_bends_the_decay():
    tail = 0.01 * noise_decay(0.3, seed=1)
    tail[: int(0.004 * RATE)] = 0
    samples = np.concatenate([np.zeros(50), tail])
    samples[50] = 3.0
    found = acoustics.measure(samples, RATE, arrival=50)
    assert found.drr_db == pytest.approx(10 * np.log10(9 / (tail**2).sum()), abs=0.01)
    assert found.direct_excluded, found
    assert found.t30_ms == pytest.approx(300, rel=0.05)
    assert found.c50_db > found.drr_db


def test_octaves_are_told_apart():
    sos = [signal.butter(6, [centre / 2**0.5, centre * 2**0.5], "bandpass", fs=RATE, output="sos") for centre in (500, 2000)]
    slow, fast = (
        signal.sosfiltfilt(part, noise_decay(t60, 2.0, seed) / 1) for part, t60, seed in zip(sos, (1.0, 0.3), (2, 3), strict=True)
    )
    octaves = acoustics.measure(slow + fast, RATE, arrival=0).octave_t30_ms
    assert tuple(octaves) == (125, 250, 500, 1000, 2000, 4000) and acoustics.octaves_of(48000)[-1] == 8000
    assert octaves[500] == pytest.approx(1000, rel=0.08) and octaves[2000] == pytest.approx(300, rel=0.08)


def test_recordings_are_cut_where_they_sink_into_their_noise():
    hum = np.random.default_rng(9).standard_normal(3 * RATE)
    clean = noise_decay(0.6, 3.0, seed=5)
    noisy = clean + 10 ** (-45 / 20) * hum
    wrong = acoustics.measure(noisy, RATE, arrival=0).t30_ms
    right = acoustics.measure(noisy, RATE, arrival=0, noisy=True).t30_ms
    assert right == pytest.approx(600, rel=0.06) and not abs(wrong - 600) < 60
    assert len(acoustics.truncated(clean[: RATE // 2], RATE)) <= RATE // 2


def test_what_has_no_decay_has_no_t30():
    for samples in (np.zeros(1000), np.ones(1), noise_decay(2.0)[:3000], np.eye(1, 2000)[0]):
        found = acoustics.measure(samples, RATE, octaves=False)
        assert not np.isfinite(found.t30_ms)
    stairs = np.zeros(RATE)
    stairs[[0, 4000, 8000, 12000]] = [1, 0.1, 0.01, 0.001]
    assert not np.isfinite(acoustics.measure(stairs, RATE, octaves=False).t30_ms), "no line fits stairs"
