import numpy as np
import pytest
from scipy import signal

from tasks.synthesize_grid import tones

RATE = 16000
SCIPY = {
    "sine": np.sin,
    "triangle": lambda angle: signal.sawtooth(angle, 0.5),
    "sawtooth": signal.sawtooth,
    "square": signal.square,
}


@pytest.mark.parametrize("frequency_hz", [440.0, 1234.5, 4002.7, 8000.0])
@pytest.mark.parametrize("waveform", SCIPY)
def test_legacy_tones_are_the_published_ones(waveform, frequency_hz):
    published = SCIPY[waveform](2 * np.pi * frequency_hz * np.linspace(0, 1, RATE))
    ours = tones.naive(waveform, tones.angle(frequency_hz, 0.0, RATE, RATE, legacy_time_axis=True))
    assert np.abs(ours - published).max() < 1e-9


def test_exact_time_axis_keeps_pitch_and_edges():
    square = tones.naive("square", tones.angle(4000.0, 0.0, RATE, RATE, legacy_time_axis=False))
    assert np.array_equal(square, np.tile([1.0, 1.0, -1.0, -1.0], RATE // 4)), "no edge wanders over the whole second"
    sine = tones.naive("sine", tones.angle(1000.0, 90.0, RATE, RATE, legacy_time_axis=False))
    assert np.allclose(sine, np.cos(2 * np.pi * 1000 * np.arange(RATE) / RATE), atol=1e-9)
    legacy = tones.naive("sine", tones.angle(1000.0, 0.0, 4 * RATE, RATE, legacy_time_axis=True))
    beat = np.angle(np.vdot(np.exp(2j * np.pi * 1000 * np.arange(4 * RATE) / RATE)[-RATE:], signal.hilbert(legacy)[-RATE:]))
    expected = 2 * np.pi * 1000 * 3.5 / (4 * RATE - 1) - np.pi / 2  # it has gained (t / (N − 1)) periods, seen at the mean time
    assert beat == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("waveform, duty", [("triangle", 0.5), ("sawtooth", 0.5), ("square", 0.5), ("square", 0.2), ("sine", 0.5)])
def test_fourier_series_is_that_of_the_waveform(waveform, duty):
    count, points = 12, 1 << 16
    period = SCIPY[waveform]((np.arange(points) + 0.5) / points * 2 * np.pi) if waveform != "square" else None
    if period is None:
        period = signal.square((np.arange(points) + 0.5) / points * 2 * np.pi, duty)
    spectrum = np.fft.rfft(period) / points * np.exp(-1j * np.pi * np.arange(points // 2 + 1) / points)  # half a point later
    mean, of_cos, of_sin = tones.partials(waveform, count, duty)
    assert mean == pytest.approx(spectrum[0].real, abs=1e-4)
    assert np.allclose(of_cos, 2 * spectrum[1 : count + 1].real, atol=1e-4) and np.allclose(
        of_sin, -2 * spectrum[1 : count + 1].imag, atol=1e-4
    )


@pytest.mark.parametrize("waveform", SCIPY)
def test_band_limited_tones_hold_harmonics_below_nyquist_and_nothing_else(waveform):
    frequency_hz = 1100.0
    angles = tones.angle(frequency_hz, 0.0, RATE, RATE, legacy_time_axis=False)
    made, aliasing = tones.band_limited(waveform, angles, frequency_hz, RATE), tones.naive(waveform, angles)
    spectrum = np.abs(np.fft.rfft(made)) / RATE * 2
    harmonics = np.arange(1, 8) * 1100
    assert harmonics[-1] < RATE / 2 < harmonics[-1] + 1100
    elsewhere = np.delete(spectrum, harmonics)
    assert elsewhere.max() < 1e-9 and spectrum[1100] > 0.5
    if waveform != "sine":
        assert np.delete(np.abs(np.fft.rfft(aliasing)) / RATE * 2, harmonics).max() > 1e-3, "the naive one aliases"


def test_harmonics_are_counted_strictly_below_nyquist():
    assert [tones.harmonics_below_nyquist(hz, RATE) for hz in (440.0, 2666.0, 2667.0, 4000.0, 8000.0)] == [18, 3, 2, 1, 0]


def test_envelopes_stay_within_0_and_1_and_do_what_they_say():
    for name in ("flat", "pluck", "swell", "adsr"):
        made = tones.envelope(name, RATE, RATE)
        assert made.shape == (RATE,) and made.min() >= 0 and made.max() <= 1.0, name
    pluck, swell, adsr = (tones.envelope(name, RATE, RATE) for name in ("pluck", "swell", "adsr"))
    assert pluck.argmax() == pytest.approx(80, abs=1) and pluck[-1] == pytest.approx(1e-3, rel=0.01)
    assert np.all(np.diff(swell) >= 0) and swell[-1] > 0.999 and adsr[RATE // 2] == pytest.approx(0.7) and adsr[-1] < 0.01


def test_noise_has_the_asked_ratio_and_hangs_on_the_cell_only():
    sound = np.sin(np.arange(RATE) / 5)
    values = {"waveform": "sine", "frequency": 440.0, "noise": 10.0}
    noise = tones.noise_for(sound, 10.0, 3, values)
    assert 10 * np.log10(np.mean(sound**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.2)
    assert np.array_equal(noise, tones.noise_for(sound, 10.0, 3, dict(reversed(values.items()))))
    for other in (tones.noise_for(sound, 10.0, 4, values), tones.noise_for(sound, 10.0, 3, {**values, "frequency": 441.0})):
        assert abs(np.corrcoef(noise, other)[0, 1]) < 0.05
