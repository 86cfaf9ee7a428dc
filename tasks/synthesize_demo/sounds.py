"""One generator per class. Each takes (draw, times, rate_hz) and returns the dry sound [samples]; room, noise and level come later.

The classes have confusable neighbours: clock tick, footsteps and water drip are sparse impacts; rain and wind are noises; siren,
bird chirp and telephone are moving tones; engine and wind share the low end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core import dsp
from core.dsp import Signal
from tasks.synthesize_demo.parameters import Draw


def _events(draw: Draw, times: Signal, rate_per_s: float, jitter: float) -> Signal:
    """Return event times: roughly regular, the first within one period."""
    period = 1.0 / rate_per_s
    regular = np.arange(draw.rng.uniform(0, period), times[-1], period)
    return np.asarray(regular + draw.rng.normal(0, jitter * period, len(regular)))


def rain(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """Broad noise bed with many random drops, each a short high resonance."""
    bed = dsp.band_pass(dsp.coloured_noise(draw.rng, len(times), -2), rate_hz, draw("bed_low_hz", 300, 1500, log=True), 7500)
    drops = np.zeros_like(times)
    for start in draw.rng.uniform(0, times[-1], int(draw("drops_per_s", 20, 120, log=True) * times[-1])):
        position = int(start * rate_hz)
        part = slice(position, min(position + int(0.03 * rate_hz), len(times)))
        frequency = draw.rng.uniform(1500, 6500)
        drops[part] += draw.rng.exponential(1.0) * dsp.modes(
            times[part], start, np.array([frequency]), np.array([0.02]), np.ones(1), rate_hz
        )
    return dsp.unit_rms(bed) + draw("drop_gain", 0.5, 2.5) * dsp.unit_rms(drops)


def clock_tick(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """Regular dry clicks, tick and tock alternating in pitch."""
    sound, base = np.zeros_like(times), draw("pitch_hz", 1200, 4500, log=True)
    tock = draw("tock_ratio", 0.65, 0.98)
    for number, start in enumerate(_events(draw, times, draw("rate_per_s", 1.0, 5.0, log=True), 0.005)):
        pitch = base * (tock if number % 2 else 1.0)
        partials = pitch * np.array([1.0, 1.83, 2.71])
        sound += dsp.modes(
            times, start, partials, np.array([0.03, 0.02, 0.012]) * draw.rng.uniform(0.8, 1.2), np.array([1, 0.6, 0.4]), rate_hz
        )
        sound += 0.5 * dsp.decay(times, start, 0.006, 0.0005) * draw.rng.standard_normal(len(times))
    return sound


def footsteps(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """Uneven low thumps with a scuff of noise."""
    sound, body = np.zeros_like(times), draw("body_hz", 70, 260, log=True)
    scuff = draw("scuff", 0.2, 1.2)
    for start in _events(draw, times, draw("rate_per_s", 1.2, 3.5, log=True), 0.06):
        gain = draw.rng.uniform(0.6, 1.2)
        frequencies = body * np.array([1.0, 2.3, 4.1]) * draw.rng.uniform(0.9, 1.1)
        sound += gain * dsp.modes(times, start, frequencies, np.array([0.12, 0.08, 0.04]), np.array([1, 0.5, 0.3]), rate_hz)
        grit = dsp.decay(times, start + 0.01, draw.rng.uniform(0.05, 0.12), 0.008) * draw.rng.standard_normal(len(times))
        sound += gain * scuff * dsp.band_pass(grit, rate_hz, 400, 4000)
    return sound


def water_drip(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """Sparse drops: an impact, then a bubble whose pitch rises (van den Doel, 2005)."""
    sound, base = np.zeros_like(times), draw("bubble_hz", 500, 2200, log=True)
    rise = draw("rise_per_s", 2.0, 12.0, log=True)
    for start in _events(draw, times, draw("rate_per_s", 0.9, 4.0, log=True), 0.15):
        since = np.maximum(times - start, 0)
        frequency = np.minimum(base * draw.rng.uniform(0.85, 1.2) * (1 + rise * since), 0.45 * rate_hz)
        sound += dsp.decay(times, start, draw.rng.uniform(0.06, 0.16), 0.003) * dsp.oscillator(frequency, rate_hz)
        sound += 0.3 * dsp.decay(times, start - 0.004, 0.01, 0.0005) * draw.rng.standard_normal(len(times))
    return sound


def siren(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """A loud tone sweeping up and down, or alternating between two pitches."""
    centre, depth = draw("centre_hz", 500, 1300, log=True), draw("depth", 0.15, 0.5)
    swing = np.sin(2 * np.pi * draw("sweep_per_s", 0.3, 4.0, log=True) * times + draw.rng.uniform(0, 6.28))
    if draw.rng.random() < 0.35:
        swing = np.tanh(8 * swing)
    harmonics = 1.0 / np.arange(1, 9) ** draw("rolloff", 0.8, 2.5)
    return dsp.oscillator(centre * 2 ** (depth * swing), rate_hz, harmonics)


def engine(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """Firing pulses through an exhaust resonance, with a slowly wandering speed."""
    speed = draw("firing_hz", 22, 95, log=True)
    wander = 1 + draw("wander", 0.005, 0.12) * np.sin(2 * np.pi * draw.rng.uniform(0.15, 0.8) * times + draw.rng.uniform(0, 6.28))
    pulses = dsp.oscillator(speed * wander, rate_hz, 1.0 / np.sqrt(np.arange(1, 40)))
    uneven = 1 + 0.4 * dsp.oscillator(speed * wander / 4, rate_hz)
    exhaust = dsp.band_pass(pulses * uneven, rate_hz, 40, draw("brightness_hz", 400, 2500, log=True))
    return dsp.unit_rms(exhaust) + draw("hiss", 0.05, 0.6) * dsp.coloured_noise(draw.rng, len(times), -4)


def bell(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """Struck metal: the inharmonic partials of a church bell (hum, prime, tierce, quint, nominal, …), one to three strokes."""
    prime = draw("prime_hz", 220, 1400, log=True)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.52, 2.67, 3.01, 4.17]) * draw.rng.normal(1, 0.006, 9)
    ring = draw("ring_s", 0.8, 5.0, log=True)
    sound = np.zeros_like(times)
    for start in _events(draw, times, draw("strokes_per_s", 0.5, 2.2, log=True), 0.02)[:4]:
        t60s = ring / np.sqrt(ratios + 0.5) * draw.rng.uniform(0.8, 1.2, 9)
        sound += dsp.modes(times, start, prime * ratios, t60s, draw.rng.uniform(0.3, 1, 9) / np.sqrt(ratios + 0.5), rate_hz)
    return sound


def bird_chirp(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """Bursts of short whistles, each a quick rise, fall or trill."""
    base = draw("pitch_hz", 2000, 5200, log=True)
    sweep, trill = draw("sweep", 0.1, 0.6), draw("trill_per_s", 8, 45, log=True)
    sound = np.zeros_like(times)
    for start in _events(draw, times, draw("chirps_per_s", 2.0, 9.0, log=True), 0.12):
        if draw.rng.random() < 0.2:
            continue
        length = draw.rng.uniform(0.04, 0.16)
        phase = np.clip((times - start) / length, 0, 1)
        bend = draw.rng.choice((-1.0, 1.0)) * sweep * (phase - 0.5) + 0.06 * np.sin(2 * np.pi * trill * times)
        frequency = np.minimum(base * draw.rng.uniform(0.85, 1.15) * 2**bend, 0.47 * rate_hz)
        sound += np.sin(np.pi * phase) ** 2 * ((phase > 0) & (phase < 1)) * dsp.oscillator(frequency, rate_hz, np.array([1, 0.15]))
    return sound


def wind(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """Noise through a slowly wandering resonance, in gusts."""
    noise = dsp.coloured_noise(draw.rng, len(times), -4)
    centre, gust_rate = draw("whistle_hz", 180, 900, log=True), draw("gusts_per_s", 0.2, 1.5, log=True)
    bands = [dsp.band_pass(noise, rate_hz, centre * ratio * 0.8, centre * ratio * 1.25) for ratio in (0.7, 1.0, 1.4)]
    angle = 2 * np.pi * gust_rate * times + draw.rng.uniform(0, 6.28)
    weights = [1 + np.cos(angle + shift) for shift in (0.0, 2.1, 4.2)]
    whistle = sum((dsp.unit_rms(band) * weight for band, weight in zip(bands, weights, strict=True)), np.zeros_like(times))
    return (0.35 + np.sin(angle / 2) ** 2) * (0.6 * noise + draw("whistle", 0.4, 1.6) * whistle)


def telephone(draw: Draw, times: Signal, rate_hz: int) -> Signal:
    """A warbling two-tone ring with pauses."""
    low = draw("pitch_hz", 450, 1900, log=True)
    high = low * draw("interval", 1.08, 1.5)
    warble = np.sin(2 * np.pi * draw("warble_per_s", 8, 28, log=True) * times) > 0
    ring_s, pause_s = draw("ring_s", 0.35, 1.2), draw.rng.uniform(0.15, 0.7)
    on = ((times + draw.rng.uniform(0, ring_s)) % (ring_s + pause_s)) < ring_s
    harmonics = 1.0 / np.arange(1, 7) ** draw("rolloff", 0.7, 2.2)
    smooth = np.convolve(on.astype(float), np.ones(80) / 80, mode="same")
    return smooth * dsp.oscillator(np.where(warble, low, high), rate_hz, harmonics)


CLASSES: dict[str, Callable[[Draw, Signal, int], Signal]] = {
    "bell": bell, "bird_chirp": bird_chirp, "clock_tick": clock_tick, "engine": engine, "footsteps": footsteps, "rain": rain,
    "siren": siren, "telephone": telephone, "water_drip": water_drip, "wind": wind,
}  # fmt: skip
