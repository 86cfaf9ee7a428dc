"""What a recording adds to a sound: distance, a room, background noise, hum, a narrow or overdriven microphone, silence after the end."""

from __future__ import annotations

import numpy as np

from core import dsp
from core.dsp import Signal
from tasks.synthesize_captioned.words import Rng, log_uniform, pick

SILENCE_SHARE = 0.15
"""Share of clips that end in digital silence, as many published clips do."""
COLOUR_DB = 3.0
"""Standard deviation, per octave, of the gain that place and microphone add; recordings of one class differ by 3 to 6 dB per band."""
_FADE_S = 0.01


def in_place(sound: Signal, rng: Rng, rate_hz: int) -> tuple[Signal, str]:
    """Put a sound of unit RMS [samples] into a place: near, far, in a room, outdoors; returns it with words that start with a blank."""
    kind, words = rng.random(), ""
    if kind < 0.12:
        dull = dsp.band_pass(sound, rate_hz, 60, rng.uniform(1500, 4000), 1)
        sound = dsp.room(dull, rng, rate_hz, rng.uniform(0.4, 1.5), rng.uniform(0.3, 0.6))
        words = pick(rng, (" in the distance", " far away"))
    elif kind < 0.3:
        sound, words = (
            dsp.room(sound, rng, rate_hz, rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.4)),
            pick(rng, (" in a small room", " indoors")),
        )
    elif kind < 0.42:
        sound, words = dsp.room(sound, rng, rate_hz, rng.uniform(0.6, 2.0), rng.uniform(0.2, 0.6)), " in a reverberant room"
    elif kind < 0.6:
        sound = dsp.room(sound, rng, rate_hz, rng.uniform(0.05, 0.3), rng.uniform(0.02, 0.3))
    return dsp.unit_rms(sound), words


def background(sound: Signal, rng: Rng, rate_hz: int) -> tuple[Signal, str]:
    """Add noise of any colour, 3 to 45 dB below the sound, and in some clips mains hum; returns the words for what is loud."""
    words, kind = "", rng.random()
    if kind < 0.85:
        snr = rng.uniform(3, 15) if kind < 0.3 else rng.uniform(15, 45)
        sound = dsp.mix_at_snr(sound, dsp.coloured_noise(rng, len(sound), rng.uniform(-8, -1)), snr)
        words = pick(rng, (" with background noise", " in noise")) if snr < 12 else ""
    if rng.random() < 0.12:
        mains = float(rng.choice((50.0, 60.0)))
        hum = dsp.oscillator(np.full(len(sound), mains), rate_hz, rng.uniform(0, 1, 6))
        sound = dsp.mix_at_snr(sound, hum, rng.uniform(10, 35))
    return sound, words


def microphone(sound: Signal, rng: Rng, rate_hz: int) -> Signal:
    """Limit the band to 4–16 kHz and the bass to 20–250 Hz, colour and tilt the spectrum, overdrive some."""
    high, low = log_uniform(rng, 4000, 16000), log_uniform(rng, 20, 250)
    if rng.random() < 0.7 and high < 0.45 * rate_hz:
        sound = dsp.band_pass(sound, rate_hz, low, high)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(sound), 1 / rate_hz), 30.0) / 1000)
    colour = np.interp(octaves, np.arange(-5, 5), rng.normal(0, COLOUR_DB, 10)) + rng.uniform(-2, 2) * octaves
    sound = dsp.unit_rms(np.fft.irfft(np.fft.rfft(sound) * 10 ** (colour / 20), len(sound)))
    if rng.random() < 0.12:
        drive = rng.uniform(0.5, 2.0) * float(np.sqrt(np.mean(sound**2)))
        sound = np.tanh(sound / (3 * drive)) * 3 * drive
    return sound


def cut_off(sound: Signal, rng: Rng, rate_hz: int) -> Signal:
    """Silence some clips after a random time, once at least 80 % of their energy has been; last of all steps, so that zeros stay zeros."""
    if rng.random() >= SILENCE_SHARE:
        return sound
    energy = np.cumsum(sound**2)
    earliest = int(np.searchsorted(energy, 0.8 * energy[-1]))
    end = int(rng.integers(earliest, len(sound) + 1))
    fade = min(int(_FADE_S * rate_hz), end)
    gate = np.zeros(len(sound))
    gate[: end - fade] = 1.0
    gate[end - fade : end] = np.linspace(1.0, 0.0, fade)
    return sound * gate
