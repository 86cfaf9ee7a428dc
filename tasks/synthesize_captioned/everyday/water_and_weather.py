"""Water, weather and fire: noise in many colours, bubbles and grains (van den Doel 2005; Farnell 2010)."""

from __future__ import annotations

import numpy as np

from core import dsp
from core.dsp import Signal
from tasks.synthesize_captioned.everyday.parts import (
    Family,
    band_noise,
    click,
    fade_out,
    hump,
    place,
    random_curve,
    samples_of,
    scatter,
    shaped_noise,
    starts,
)
from tasks.synthesize_captioned.words import Described, Rng, log_uniform, pick, word


def bubble(rng: Rng, rate_hz: int, base_hz: float, t60_s: float, rise: float) -> Signal:
    """Return one bubble [1.2 · t60]: a decaying sine whose pitch rises as it nears the surface, f·(1 + rise·t/t60)."""
    length = samples_of(1.2 * t60_s, rate_hz)
    share = np.arange(length) / length
    frequency = np.minimum(base_hz * (1 + rise * share), 0.45 * rate_hz)
    return dsp.oscillator(frequency, rate_hz, phase=rng.uniform(0, 6.28)) * fade_out(length, rate_hz, t60_s, 0.002)


def bubbles(rng: Rng, length: int, rate_hz: int, per_s: float | Signal, low_hz: float, high_hz: float) -> Signal:
    """Return many bubbles [length], unit RMS: low ones long, high ones short."""
    pitches = np.exp(rng.uniform(np.log(low_hz), np.log(high_hz), 12))
    grains = [bubble(rng, rate_hz, pitch, np.clip(30 / pitch, 0.008, 0.12), rng.uniform(0.05, 0.8)) for pitch in pitches]
    return dsp.unit_rms(scatter(rng, length, rate_hz, per_s, grains))


def rain(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Dense drops: wide steady noise, from hiss to patter, and single drops on leaves, roofs, puddles or glass."""
    density, surface = log_uniform(rng, 40, 3000), pick(rng, ("leaves", "a roof", "puddles", "a window"))
    centre = {"leaves": 3500, "a roof": 1500, "puddles": 2200, "a window": 2800}[surface] * log_uniform(rng, 0.6, 1.6)
    drops = [click(rng, rate_hz, centre * low, centre * low * 2.5, rng.uniform(0.003, 0.015)) for low in rng.uniform(0.4, 1.6, 6)]
    sound = dsp.unit_rms(scatter(rng, len(times), rate_hz, density, drops, 1.5))
    if surface == "puddles":
        sound += rng.uniform(0.1, 0.6) * bubbles(rng, len(times), rate_hz, density * 0.1, 700, 5000)
    bed = band_noise(rng, len(times), rate_hz, log_uniform(rng, 30, 600), rng.uniform(3000, 12000), rng.uniform(-5, 0))
    bed *= 1 + 0.1 * random_curve(rng, len(times), rate_hz, 2, -1, 1)
    drip = rng.uniform(0.15, 1.0)
    return bed + drip * sound, f"{word(density, (150, 900), ('light', 'steady', 'heavy'))} drops on {surface} over a wide hiss"


def sea_waves(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Swells of noise every 4–12 s: a low roar that grows, breaks into bright foam and draws back as a hiss."""
    sound, period = np.zeros_like(times), log_uniform(rng, 2.5, 12)
    low = band_noise(rng, len(times), rate_hz, log_uniform(rng, 40, 200), rng.uniform(300, 900), -3)
    middle = band_noise(rng, len(times), rate_hz, 300, rng.uniform(900, 2500), -1)
    foam = band_noise(rng, len(times), rate_hz, rng.uniform(800, 2000), rng.uniform(5000, 10000), -1)
    bright, body = rng.uniform(0.2, 1.0), rng.uniform(0.5, 1.8)
    for start in np.arange(-rng.uniform(0.2, 1.0) * period, times[-1], period * rng.uniform(0.75, 1.0)):
        since = (times - start) / period
        swell = np.where((since > 0) & (since < 1.4), np.clip(since / 0.4, 0, 1) ** 2 * np.exp(-4.0 * np.maximum(since - 0.4, 0)), 0.0)
        late = np.where((since > 0.3) & (since < 1.8), np.clip((since - 0.3) / 0.2, 0, 1) * np.exp(-3.0 * np.maximum(since - 0.5, 0)), 0.0)
        gain = rng.uniform(0.6, 1.0)
        sound += gain * (swell * (low + body * middle) + bright * late * foam)
    floor = rng.uniform(0.03, 0.3)
    sound += floor * (low + body * middle + 0.3 * bright * foam)
    return sound, f"{word(period, (7,), ('steady', 'slow'))} swells of {word(bright, (0.6,), ('low roaring', 'foaming'))} surf"


def thunderstorm(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A crack (when near), then rolls of noise below 200 Hz in several humps that get duller; often with rain."""
    near, rainy = rng.uniform(0, 1), bool(rng.random() < 0.5)
    start, length = rng.uniform(0, 0.25) * times[-1], len(times)
    since = np.maximum(times - start, 0)
    rolls = (
        random_curve(rng, length, rate_hz, rng.uniform(2, 5), 0.15, 1.0) ** 1.5 * np.exp(-since / rng.uniform(0.6, 2.5)) * (times >= start)
    )
    rolls *= np.minimum(1, since / (0.02 + 0.4 * (1 - near)))
    deep = band_noise(rng, length, rate_hz, 25, rng.uniform(80, 220), -3)
    upper = band_noise(rng, length, rate_hz, 120, rng.uniform(500, 1500), -2) * np.exp(-since / 0.7)
    sound = rolls * (deep + near * upper)
    if near > 0.5:
        crack = band_noise(rng, samples_of(0.35, rate_hz), rate_hz, 300, 6000, -1) * fade_out(
            samples_of(0.35, rate_hz), rate_hz, 0.5, 0.002
        )
        place(sound, crack * random_curve(rng, len(crack), rate_hz, 40, 0.1, 1), start, rate_hz, rng.uniform(1, 2.5))
    sound = dsp.unit_rms(sound)
    if rainy:
        sound += rng.uniform(0.05, 0.3) * band_noise(rng, length, rate_hz, 800, 9000)
    return sound, f"{'a sharp crack and' if near > 0.5 else 'a distant'} deep rolling rumble{' with rain' if rainy else ''}"


def wind(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Brown noise in gusts, with resonances at 200–1,200 Hz that rise with the wind's speed (Farnell: whistling past edges)."""
    speed = np.clip(random_curve(rng, len(times), rate_hz, rng.uniform(0.4, 2.0), 0.1, 1.0), 0, 1)
    whistle, centre = rng.uniform(0, 1.2), log_uniform(rng, 200, 1000)
    bands = [
        band_noise(rng, len(times), rate_hz, centre * 2**octave * 0.93, centre * 2**octave * 1.07) for octave in (-0.6, -0.3, 0.0, 0.3, 0.6)
    ]
    position = (speed - 0.5) * 1.2
    howl = sum(
        (band * np.exp(-(((position - octave) / 0.2) ** 2)) for band, octave in zip(bands, (-0.6, -0.3, 0, 0.3, 0.6), strict=True)),
        0 * times,
    )
    roar = band_noise(rng, len(times), rate_hz, 20, rng.uniform(150, 700), rng.uniform(-5, -2)) + 0.2 * band_noise(
        rng, len(times), rate_hz, 300, 3000, -3
    )
    return (0.15 + speed**1.5) * (roar + whistle * howl), f"{word(whistle, (0.5,), ('rumbling', 'howling'))} gusts rising and falling"


def water_drops(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Sparse drops: a faint impact and a bubble of 500–3,000 Hz that glides up."""
    sound, base, rate = np.zeros_like(times), log_uniform(rng, 500, 3000), log_uniform(rng, 0.7, 6)
    steady, rise = rng.uniform(0.01, 0.25), rng.uniform(0.05, 1.2)
    for start in starts(rng, times[-1], rate, steady):
        drop = bubble(rng, rate_hz, base * rng.uniform(0.8, 1.25), rng.uniform(0.03, 0.15), rise)
        place(sound, drop, start + 0.005, rate_hz, rng.uniform(0.5, 1))
        place(sound, click(rng, rate_hz, 2000, 7000, 0.006), start, rate_hz, rng.uniform(0.05, 0.4))
    return sound, f"{word(rate, (1.5, 3.5), ('slow', 'regular', 'quick'))} {word(base, (1200,), ('hollow', 'bright'))} plops"


def pouring_water(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Many bubbles and splash noise; the vessel's resonance rises as it fills."""
    end = rng.uniform(0.6, 1.0) * times[-1]
    on = np.clip((end - times) / 0.1, 0, 1) * np.clip((times - rng.uniform(0, 0.2)) / 0.1, 0, 1)
    mix = bubbles(rng, len(times), rate_hz, 250 * on, 400, 4000) + rng.uniform(0.2, 0.6) * on * band_noise(
        rng, len(times), rate_hz, 800, 6000, -1
    )
    first, octaves = log_uniform(rng, 250, 900), rng.uniform(0.5, 1.6)
    total, shares = 0.5 * mix, np.clip(times / end, 0, 1)
    for octave in np.linspace(0, octaves, 6):
        centre = first * 2**octave
        weight = np.exp(-(((shares * octaves - octave) / (octaves / 4)) ** 2))
        total = total + 0.9 * weight * dsp.unit_rms(dsp.band_pass(mix, rate_hz, centre * 0.85, centre * 1.18)) * on
    return total, f"a gurgling stream filling a {word(first, (500,), ('large vessel', 'glass'))}, the pitch rising"


def stream(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A brook: hundreds of bubbles per second over soft noise, steady for ever."""
    low = log_uniform(rng, 300, 900)
    sound = bubbles(rng, len(times), rate_hz, log_uniform(rng, 80, 600), low, low * 8)
    noise = rng.uniform(0.2, 1.0)
    return sound + noise * band_noise(
        rng, len(times), rate_hz, 300, 5000, -2
    ), f"{word(noise, (0.6,), ('clear', 'rushing'))} gurgling and bubbling"


def fire(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Rare loud snaps with a heavy tail in level, many faint ones, a hiss and a fluttering rumble (Farnell 2010)."""
    rate, length = log_uniform(rng, 3, 40), len(times)
    snaps = [click(rng, rate_hz, low, low * rng.uniform(2, 6), rng.uniform(0.004, 0.03)) for low in np.exp(rng.uniform(6.8, 8.7, 8))]
    busy = random_curve(rng, length, rate_hz, 2.0, 0.2, 1.8)
    crackles = dsp.unit_rms(scatter(rng, length, rate_hz, rate * busy, snaps, 2.0))
    crackles += rng.uniform(0.2, 0.6) * dsp.unit_rms(scatter(rng, length, rate_hz, rate * 6 * busy, snaps, 1.5))
    flutter = random_curve(rng, length, rate_hz, 9, 0.3, 1.0)
    rumble = band_noise(rng, length, rate_hz, 30, rng.uniform(120, 500), -3) * flutter
    hiss = band_noise(rng, length, rate_hz, 1000, 7000, -1) * random_curve(rng, length, rate_hz, 3, 0.5, 1)
    sound = dsp.unit_rms(crackles) + log_uniform(rng, 0.1, 1.5) * rumble + rng.uniform(0.05, 0.5) * hiss
    return sound, f"{word(rate, (9, 22), ('sparse', 'lively', 'dense'))} snaps and pops over a low flutter"


def toilet_flush(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A rush of noise that swells at once, drops in pitch and ends in gurgles and a refilling hiss."""
    start, last = rng.uniform(0, 0.1) * times[-1], rng.uniform(0.4, 0.75) * times[-1]
    rush = hump(samples_of(last, rate_hz), 0.12, 0.55)
    water = shaped_noise(rng, len(rush), lambda f: 1 / (1 + (250 / f) ** 2) / (1 + (f / 2500) ** 1.5), rate_hz)
    sound = np.zeros_like(times)
    place(sound, click(rng, rate_hz, 300, 3000, 0.05), start, rate_hz, 1.5)
    place(sound, water * rush * (1 + 0.3 * random_curve(rng, len(rush), rate_hz, 12, -1, 1)), start + 0.05, rate_hz)
    later = np.clip((times - start - 0.3 * last) / (0.5 * last), 0, 1)
    sound += rng.uniform(0.2, 0.6) * later * bubbles(rng, len(times), rate_hz, 60, 150, 1200)
    refill = rng.uniform(0.05, 0.3)
    return sound + refill * later * band_noise(rng, len(times), rate_hz, 1500, 7000), "a rush of water, gurgles and a refilling hiss"


FAMILIES: dict[str, Family] = {
    "rain": Family(rain, ("rain", "rain falling", "raindrop", "rainfall"), ("rain falling", "rain", "rain drops pouring down")),
    "sea_waves": Family(
        sea_waves, ("sea waves", "ocean waves", "waves", "sea"), ("sea waves on a beach", "ocean waves", "waves breaking at the sea")
    ),
    "thunderstorm": Family(thunderstorm, ("thunderstorm", "thunder"), ("a thunderstorm", "thunder", "thunder rolling")),
    "wind": Family(wind, ("wind", "wind blowing", "wind noise"), ("wind blowing", "strong wind", "the wind")),
    "water_drops": Family(
        water_drops, ("water drops", "water drip", "dripping water", "drip"), ("water drops falling", "water dripping", "a dripping tap")
    ),
    "pouring_water": Family(
        pouring_water, ("pouring water", "pour", "filling"), ("pouring water", "water being poured", "someone pouring water")
    ),
    "stream": Family(stream, ("stream", "river", "brook", "water"), ("a stream flowing", "a river", "a brook")),
    "fire": Family(
        fire,
        ("crackling fire", "fire crackling", "fire", "campfire"),
        ("a fire crackling", "a crackling fire", "a fire burning", "a campfire"),
    ),
    "toilet_flush": Family(toilet_flush, ("toilet flush", "toilet"), ("a toilet flush", "a toilet flushing", "someone flushing a toilet")),
}
