"""Families of generic sounds. Each generator returns (sound [samples], words that describe it), words chosen from the drawn values.

None of them imitates anything: these sounds teach what words like high, fast or noisy sound like. Named sounds are in ``everyday/``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core import dsp
from core.dsp import Signal
from tasks.synthesize_captioned.words import Described, Rng, log_uniform, pitch_word, rate_word, word


def tone(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A steady tone, pure or with harmonics."""
    frequency, count = log_uniform(rng, 80, 5000), int(rng.choice((1, 1, 4, 12)))
    sound = dsp.oscillator(np.full_like(times, frequency), rate_hz, 1.0 / np.arange(1, count + 1))
    return sound, f"{'pure' if count == 1 else 'buzzing' if count > 6 else 'rich'} {pitch_word(frequency)} steady tone"


def sweep(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A tone gliding up or down once."""
    start, ratio = log_uniform(rng, 150, 3000), log_uniform(rng, 1.5, 5)
    rising = bool(rng.random() < 0.5)
    shape = times / times[-1] if rising else 1 - times / times[-1]
    sound = dsp.oscillator(np.minimum(start * ratio**shape, 0.45 * rate_hz), rate_hz, np.array([1, 0.4, 0.2]))
    return sound, f"{pitch_word(start)} tone gliding {'upwards' if rising else 'downwards'}"


def wobble(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A frequency-modulated tone."""
    centre, rate, depth = log_uniform(rng, 200, 3000), log_uniform(rng, 0.5, 20), rng.uniform(0.05, 0.6)
    sound = dsp.oscillator(centre * 2 ** (depth * np.sin(2 * np.pi * rate * times)), rate_hz, np.array([1, 0.5, 0.3]))
    return sound, f"{pitch_word(centre)} tone {'swinging widely' if depth > 0.3 else 'wobbling'} at a {rate_word(rate)} rate"


def pulsing(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A tone or noise with its level switched or swung."""
    frequency, rate = log_uniform(rng, 150, 4000), log_uniform(rng, 1, 20)
    gate = 0.5 + 0.5 * np.sin(2 * np.pi * rate * times)
    hard = bool(rng.random() < 0.5)
    envelope = 1 / (1 + np.exp(-20 * (gate - 0.5))) if hard else gate
    sound = envelope * dsp.oscillator(np.full_like(times, frequency), rate_hz, 1.0 / np.arange(1, 4))
    return sound, f"{pitch_word(frequency)} tone {'switching on and off' if hard else 'pulsing'} at a {rate_word(rate)} rate"


def hiss(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Steady noise of some colour."""
    slope = rng.uniform(-7, 2)
    colour = word(slope, (-5.0, -2.0), ("dull rumbling", "soft", "bright hissing"))
    return dsp.coloured_noise(rng, len(times), slope), f"{colour} continuous noise"


def noise_band(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Noise in a band that may move."""
    centre, moving = log_uniform(rng, 200, 5000), bool(rng.random() < 0.5)
    noise = dsp.coloured_noise(rng, len(times), 0)
    first = dsp.unit_rms(dsp.band_pass(noise, rate_hz, centre * 0.85, centre * 1.2))
    if not moving:
        return first, f"airy {pitch_word(centre)} band of noise"
    second = dsp.unit_rms(dsp.band_pass(noise, rate_hz, centre * 0.45, centre * 0.65))
    fade = 0.5 + 0.5 * np.sin(2 * np.pi * log_uniform(rng, 0.3, 3) * times + rng.uniform(0, 6.28))
    return fade * first + (1 - fade) * second, f"airy {pitch_word(centre)} noise swelling and fading"


def knocks(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Short struck sounds in a row."""
    frequency, rate, t60 = log_uniform(rng, 90, 4000), log_uniform(rng, 1, 12), log_uniform(rng, 0.02, 0.2)
    sound = np.zeros_like(times)
    ratios = np.array([1.0, rng.uniform(1.5, 2.4), rng.uniform(2.6, 4.0)])
    for start in np.arange(rng.uniform(0, 0.2), times[-1], 1 / rate):
        position = max(0.0, start + rng.normal(0, 0.02) / rate)
        sound += dsp.modes(times, position, frequency * ratios, t60 / ratios, np.array([1, 0.6, 0.3]), rate_hz)
    return sound, f"{rate_word(rate)} row of {'dry' if t60 < 0.07 else 'ringing'} {pitch_word(frequency)} knocks"


def crackle(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Random clicks."""
    density = log_uniform(rng, 5, 150)
    clicks = np.where(rng.random(len(times)) < density / rate_hz, rng.exponential(1.0, len(times)) * rng.choice((-1, 1), len(times)), 0.0)
    low = log_uniform(rng, 300, 3000)
    return dsp.band_pass(clicks, rate_hz, low, low * 2.5), f"{'dense' if density > 40 else 'sparse'} {pitch_word(low)} random crackling"


def ring(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """One long inharmonic decay."""
    frequency, t60 = log_uniform(rng, 150, 2500), log_uniform(rng, 0.4, 4)
    ratios = np.sort(rng.uniform(1, 6, 7))
    ratios[0] = 1.0
    sound = dsp.modes(times, rng.uniform(0, 0.3), frequency * ratios, t60 / np.sqrt(ratios), rng.uniform(0.2, 1, 7), rate_hz)
    return sound, f"{'long' if t60 > 1.2 else 'short'} {pitch_word(frequency)} metallic ring dying away"


def drone(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A low pulse train through a resonance."""
    frequency = log_uniform(rng, 25, 140)
    wander = 1 + rng.uniform(0.01, 0.1) * np.sin(2 * np.pi * rng.uniform(0.2, 2) * times)
    pulses = dsp.oscillator(frequency * wander, rate_hz, np.ones(30))
    cut = log_uniform(rng, 300, 3000)
    return dsp.band_pass(pulses, rate_hz, 40, cut), f"{'bright' if cut > 1000 else 'muffled'} low droning buzz"


def burst(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Bursts of noise with a decay."""
    rate, t60 = log_uniform(rng, 0.7, 6), log_uniform(rng, 0.05, 0.6)
    slope = rng.uniform(-6, 1)
    envelope = sum(
        (dsp.decay(times, start, t60, 0.005) for start in np.arange(rng.uniform(0, 0.3), times[-1], 1 / rate)), np.zeros_like(times)
    )
    words = f"{rate_word(rate)} repeated {'short' if t60 < 0.2 else 'long'} {'dull' if slope < -3 else 'sharp'} bursts of noise"
    return envelope * dsp.coloured_noise(rng, len(times), slope), words


def whistle(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Short tonal blips with gaps, each bent up or down."""
    base, rate = log_uniform(rng, 400, 5000), log_uniform(rng, 1.5, 9)
    bend = rng.uniform(-0.5, 0.5)
    sound = np.zeros_like(times)
    for start in np.arange(rng.uniform(0, 0.3), times[-1], 1 / rate):
        phase = np.clip((times - start) * rate * 1.6, 0, 1)
        frequency = np.minimum(base * rng.uniform(0.9, 1.1) * 2 ** (bend * phase), 0.46 * rate_hz)
        sound += np.sin(np.pi * phase) ** 2 * ((phase > 0) & (phase < 1)) * dsp.oscillator(frequency, rate_hz)
    return sound, f"{rate_word(rate)} series of {pitch_word(base)} blips bending {'up' if bend > 0 else 'down'}"


FAMILIES: dict[str, Callable[[Rng, Signal, int], Described]] = {
    "burst": burst, "crackle": crackle, "drone": drone, "hiss": hiss, "knocks": knocks, "noise_band": noise_band, "pulsing": pulsing,
    "ring": ring, "sweep": sweep, "tone": tone, "whistle": whistle, "wobble": wobble,
}  # fmt: skip
