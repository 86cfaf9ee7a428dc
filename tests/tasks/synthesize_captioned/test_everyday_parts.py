import numpy as np
import pytest

from core import dsp
from tasks.synthesize_captioned.everyday import parts
from tasks.synthesize_captioned.everyday.water_and_weather import bubble
from tasks.synthesize_captioned.words import count_of

RATE = 16000
THROAT = parts.Tract((700.0, 1800.0), (120.0, 250.0), (1.0, 0.5), 0.02, 4000.0)


def amplitudes(sound, frequencies):
    """Amplitude of each frequency by projection on a complex exponential."""
    times = np.arange(len(sound)) / RATE
    window = np.hanning(len(sound))
    return np.array([2 * abs(np.sum(sound * window * np.exp(-2j * np.pi * f * times))) / window.sum() for f in frequencies])


@pytest.mark.parametrize("pitch", [400.0, 100.0])
def test_voice_has_the_harmonics_of_tilt_and_tract(pitch, monkeypatch):
    monkeypatch.setattr(parts, "random_curve", lambda rng, length, *rest: np.zeros(length))
    sound = parts.voice(np.random.default_rng(0), np.full(RATE, pitch), RATE, THROAT, tilt=0.7, breath=0.0)
    frequencies = pitch * np.arange(1, 15)
    expected = (
        np.array(
            [(0.02 + 1 / (1 + ((f - 700) / 120) ** 2) + 0.5 / (1 + ((f - 1800) / 250) ** 2)) / (1 + (f / 4000) ** 2) for f in frequencies]
        )
        * np.arange(1, 15) ** -0.7
    )
    measured = amplitudes(sound, frequencies)
    assert np.allclose(measured / measured.max(), expected / expected.max(), rtol=0.05, atol=0.01)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(1)


def test_opening_moves_the_formants(monkeypatch):
    monkeypatch.setattr(parts, "random_curve", lambda rng, length, *rest: np.zeros(length))
    for pitch in (350.0, 100.0):
        wide = parts.voice(np.random.default_rng(0), np.full(RATE, pitch), RATE, THROAT, breath=0.0, tilt=0.0, opening=1.5)
        loudest = pitch * (1 + np.argmax(amplitudes(wide, pitch * np.arange(1, 20))))
        assert abs(loudest - 1050) <= 0.5 * pitch


def test_breath_fills_what_lies_between_harmonics():
    levels = []
    for breath in (0.0, 1.0):
        sound = parts.voice(np.random.default_rng(0), np.full(RATE, 400.0), RATE, THROAT, breath=breath)
        spectrum = np.abs(np.fft.rfft(sound)) ** 2
        levels.append(spectrum[550:650].sum() / spectrum.sum())
    assert levels[1] > 10 * levels[0]


def test_buzz_has_the_roll_off_and_no_partial_above_nyquist():
    sound = parts.buzz(np.full(RATE, 1000.0), RATE, 1.0)
    measured = amplitudes(sound, 1000.0 * np.arange(1, 8))
    assert np.allclose(measured / measured[0], 1 / np.arange(1, 8), rtol=0.03)
    assert amplitudes(sound, [500.0, 1500.0, 7500.0]).max() < 0.002


def test_struck_body_decays_by_60_db_in_its_time():
    body = parts.struck(RATE, np.array([1000.0, 9000.0]), np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    early, late = (np.sqrt(np.mean(body[int(at * RATE) :][:160] ** 2)) for at in (0.05, 0.45))
    assert 20 * np.log10(late / early) == pytest.approx(-60 * 0.4 / 0.5, abs=0.5)
    assert np.argmax(np.abs(np.fft.rfft(body))) * RATE / len(body) == pytest.approx(1000, abs=5)


def test_bubble_rises():
    sound = bubble(np.random.default_rng(0), RATE, 800.0, 0.1, 1.0)
    first, last = sound[: len(sound) // 4], sound[len(sound) // 2 : 3 * len(sound) // 4]
    rates = [np.sum(np.diff(np.signbit(part).astype(int)) != 0) / len(part) * RATE / 2 for part in (first, last)]
    assert rates[0] == pytest.approx(800 * 1.125, rel=0.1) and rates[1] == pytest.approx(800 * 1.625, rel=0.1)


def test_scatter_has_the_rate_and_the_grains():
    grain = np.array([1.0])
    sound = parts.scatter(np.random.default_rng(0), 20 * RATE, RATE, 50, [grain, grain])
    assert np.sum(np.abs(sound) > 1e-9) == pytest.approx(1000, rel=0.1)
    rising = parts.scatter(np.random.default_rng(0), 20 * RATE, RATE, np.linspace(0, 100, 20 * RATE), [grain])
    assert np.sum(np.abs(rising[10 * RATE :]) > 1e-9) > 2 * np.sum(np.abs(rising[: 10 * RATE]) > 1e-9)


def test_band_noise_has_its_edges():
    power = np.abs(np.fft.rfft(parts.band_noise(np.random.default_rng(0), 8 * RATE, RATE, 1000, 3000))) ** 2
    inside, below, above = (power[8 * low : 8 * high].mean() for low, high in ((1500, 2000), (200, 250), (7000, 7500)))
    gains = [
        np.mean([(1 / (1 + (1000 / f) ** 2) / (1 + (f / 3000) ** 2)) ** 2 for f in range(low, high)])
        for low, high in ((1500, 2000), (200, 250), (7000, 7500))
    ]
    assert below / inside == pytest.approx(gains[1] / gains[0], rel=0.2) and above / inside == pytest.approx(gains[2] / gains[0], rel=0.2)


def test_parts_are_cut_at_both_ends_of_a_clip():
    sound = np.zeros(100)
    parts.place(sound, np.ones(50), -0.0025, 10000)
    parts.place(sound, np.ones(50), 0.0080, 10000, 2.0)
    parts.place(sound, np.ones(50), 0.02, 10000)
    assert sound[:25].tolist() == [1.0] * 25 and not sound[25:80].any() and sound[80:].tolist() == [2.0] * 20


def test_series_ends_within_the_clip_and_starts_have_one_event_at_least():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        events = parts.series(rng, 3.0, 0.3, 2.0, 6)
        assert 1 <= len(events) <= 6 and events.min() >= 0 and events.max() < 3.0
        assert len(parts.starts(rng, 0.5, 0.6, 0.1)) >= 1 and len(parts.starts(rng, 10.0, 2.0, 0.0)) in (20, 19)


def test_envelopes_start_and_end_in_silence():
    flat = parts.hump(1000, 0.2, 0.3)
    assert flat[0] == 0 and flat[-1] < 1e-3 and np.all(flat[250:650] > 0.99)
    fading = parts.fade_out(1600, RATE, 0.1)
    assert fading[0] == 0 and fading[-1] < 1e-3 and dsp.decay(np.array([0.05]), 0.0, 0.1)[0] == pytest.approx(fading[800])


def test_counts_are_told_in_words():
    assert [count_of(number, "bark") for number in (1, 2, 5, 9)] == ["a bark", "two barks", "five barks", "many barks"]
    assert count_of(1, "hoarse caw") == "a hoarse caw" and count_of(1, "old bell") == "an old bell"
