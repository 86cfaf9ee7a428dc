"""Building blocks of the everyday sounds: events, shaped noise, voices, struck bodies, pulse trains. Arrays are float64 [samples]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from core import dsp
from core.dsp import Signal
from tasks.synthesize_captioned.words import Described, Rng, log_uniform

FEW_HARMONICS = 40
"""Voices with more harmonics than this below Nyquist come from a wave table, which costs the same for any number."""


@dataclass(frozen=True)
class Family:
    """One kind of named sound."""

    make: Callable[[Rng, Signal, int], Described]
    """Takes (rng, times, rate_hz), returns the sound and a noun phrase that describes it, without its name."""
    labels: tuple[str, ...]
    """Its names as datasets write them, underscores as spaces; the first one is the family's own."""
    phrases: tuple[str, ...]
    """Its names as prose says them."""


def samples_of(duration_s: float, rate_hz: int) -> int:
    """Return a length in samples, at least 16."""
    return max(16, int(duration_s * rate_hz))


def place(sound: Signal, part: Signal, start_s: float, rate_hz: int, gain: float = 1.0) -> None:
    """Add a part into ``sound`` at a time, cut at both ends."""
    start = int(start_s * rate_hz)
    first, last = max(start, 0), min(start + len(part), len(sound))
    if first < last:
        sound[first:last] += gain * part[first - start : last - start]


def starts(rng: Rng, duration_s: float, rate_per_s: float, jitter: float) -> Signal:
    """Return event times [events]: regular with a jitter in periods, the first one within half a period and always there."""
    period = 1.0 / rate_per_s
    first = rng.uniform(0, min(0.5 * period, 0.3 * duration_s))
    regular = np.arange(first, max(duration_s, first + 1e-6), period)
    return np.maximum(0.0, regular + rng.normal(0, jitter * period, len(regular)))


def series(rng: Rng, duration_s: float, length_s: float, rate_per_s: float, most: int) -> Signal:
    """Return the times of a short series of 1 to ``most`` events that ends before the clip where it can."""
    number = int(rng.integers(1, most + 1))
    number = max(1, min(number, int((duration_s - length_s) * rate_per_s) + 1))
    whole = (number - 1) / rate_per_s + length_s
    first = rng.uniform(0, max(0.02, duration_s - whole) * 0.7)
    times = first + np.arange(number) / rate_per_s
    return np.maximum(0.0, times + rng.normal(0, 0.08 / rate_per_s, number) * (np.arange(number) > 0))


def random_curve(rng: Rng, length: int, rate_hz: int, changes_per_s: float, low: float = 0.0, high: float = 1.0) -> Signal:
    """Return a curve [length] through uniform random points, about ``changes_per_s`` of them per second."""
    number = max(3, int(length / rate_hz * changes_per_s) + 3)
    knots = rng.uniform(low, high, number)
    return np.interp(np.arange(length), np.linspace(0, length, number), knots)


def hump(length: int, attack: float, release: float, power: float = 1.0) -> Signal:
    """Return an envelope [length] with raised-cosine flanks; ``attack`` and ``release`` are shares of the length, together at most 1."""
    place_in = np.arange(length) / length
    rise = 0.5 - 0.5 * np.cos(np.pi * np.clip(place_in / max(attack, 1e-6), 0, 1))
    fall = 0.5 - 0.5 * np.cos(np.pi * np.clip((1 - place_in) / max(release, 1e-6), 0, 1))
    return (rise * fall) ** power


def fade_out(length: int, rate_hz: int, t60_s: float, attack_s: float = 0.001) -> Signal:
    """Return a decay [length]: up within ``attack_s``, down by 60 dB in ``t60_s``, silent at its very end."""
    times = np.arange(length) / rate_hz
    return dsp.decay(times, 0.0, t60_s, attack_s) * np.minimum(1.0, (length - np.arange(length)) / max(8.0, 0.05 * length))


def shaped_noise(rng: Rng, length: int, gain: Callable[[Signal], Signal], rate_hz: int) -> Signal:
    """Return unit-RMS Gaussian noise [length] whose spectrum is ``gain(frequencies_hz)``."""
    frequencies = np.fft.rfftfreq(length, 1 / rate_hz)
    return dsp.unit_rms(np.fft.irfft(np.fft.rfft(rng.standard_normal(length)) * gain(np.maximum(frequencies, 1.0)), length))


def band_noise(rng: Rng, length: int, rate_hz: int, low_hz: float, high_hz: float, slope_db: float = 0.0) -> Signal:
    """Return unit-RMS noise with soft band edges (12 dB per octave) and a slope in dB per octave between them."""

    def gain(frequency: Signal) -> Signal:
        edges = 1 / (1 + (low_hz / frequency) ** 2) / (1 + (frequency / high_hz) ** 2)
        return np.asarray(edges * frequency ** (slope_db / (20 * np.log10(2))))

    return shaped_noise(rng, length, gain, rate_hz)


@dataclass(frozen=True)
class Tract:
    """A throat and mouth: resonances with centre, width and gain, over a floor."""

    centres_hz: Sequence[float]
    """Formant frequencies."""
    widths_hz: Sequence[float]
    """Their half-power half-widths."""
    gains: Sequence[float]
    """Their linear gains."""
    floor: float = 0.03
    """Gain far from every formant."""
    ceiling_hz: float = 20000.0
    """Above it everything falls by 12 dB per octave: soft walls, distance, a mouth that does not face the microphone."""

    def response(self, frequency_hz: Signal) -> Signal:
        """Return the gain at each frequency: the sum of resonance curves 1 / (1 + ((f − F) / B)²), under the ceiling."""
        total = np.full_like(frequency_hz, self.floor)
        for centre, width, gain in zip(self.centres_hz, self.widths_hz, self.gains, strict=True):
            total += gain / (1 + ((frequency_hz - centre) / width) ** 2)
        return total / (1 + (frequency_hz / self.ceiling_hz) ** 2)


def tract(
    rng: Rng,
    centres_hz: Sequence[float],
    scale: float = 1.0,
    sharpness: float = 8.0,
    spread: float = 0.1,
    ceiling_hz: tuple[float, float] = (2500, 9000),
) -> Tract:
    """Draw a tract near the given formants: each moved by up to ``spread``, widths about centre / ``sharpness``, later ones weaker.

    Its ceiling is drawn from the given range, every octave as likely.
    """
    centres = [centre * scale * rng.uniform(1 - spread, 1 + spread) for centre in centres_hz]
    return Tract(
        centres,
        [max(60.0, centre / sharpness * rng.uniform(0.7, 1.5)) for centre in centres],
        [rng.uniform(0.5, 1.0) * 0.8**number for number in range(len(centres))],
        rng.uniform(0.01, 0.06),
        log_uniform(rng, *ceiling_hz),
    )


def voice(
    rng: Rng, pitch_hz: Signal, rate_hz: int, throat: Tract, *, tilt: float = 1.0, breath: float = 0.1, rough: float = 0.0,
    opening: Signal | float = 1.0,
) -> Signal:  # fmt: skip
    """Return a voiced sound [samples] of unit RMS: harmonics k of a glottal pulse with amplitude k^−tilt · tract(k·f0), and breath.

    Args:
        rng: draws jitter, breath and roughness.
        pitch_hz: fundamental frequency [samples].
        rate_hz: sample rate.
        throat: formants.
        tilt: exponent of the glottal spectrum; 2 is soft, 0.3 is a scream.
        breath: level of the formant-shaped noise against the harmonics, linear.
        rough: depth of the subharmonic and random amplitude modulation, 0 to 1 (hoarse, growling).
        opening: factor on all formants, a number or [samples]: the mouth opens and closes.
    """
    length = len(pitch_hz)
    pitch = np.maximum(20.0, pitch_hz * (1 + (0.008 + 0.03 * rough) * random_curve(rng, length, rate_hz, 70, -1, 1)))
    turn = rng.random()
    angle = 2 * np.pi * (np.cumsum(pitch) / rate_hz + turn)
    count = max(1, int(0.48 * rate_hz / pitch.min()))
    total = _many_harmonics(pitch, rate_hz, throat, tilt, opening, turn) if count > FEW_HARMONICS else np.zeros(length)
    for number in range(1, count + 1) if count <= FEW_HARMONICS else ():
        partial = number * pitch
        gain = np.where(partial < 0.48 * rate_hz, throat.response(partial / opening), 0.0) * number**-tilt
        total += gain * np.sin(number * angle)
    if rough > 0:
        total *= 1 + rough * (0.6 * np.sin(0.5 * angle) + random_curve(rng, length, rate_hz, 180, -0.8, 0.8))
    total = dsp.unit_rms(total)
    if breath > 0:
        total = total + breath * shaped_noise(rng, length, throat.response, rate_hz)
    return dsp.unit_rms(total)


def _many_harmonics(pitch_hz: Signal, rate_hz: int, throat: Tract, tilt: float, opening: Signal | float, turn: float) -> Signal:
    """Return a low voice's harmonics [samples]: a wave table through the tract at its narrowest and widest, faded as the mouth moves."""
    source = buzz(pitch_hz, rate_hz, tilt, turn)
    low, high = float(np.min(opening)), float(np.max(opening))
    narrow = resonate(source, rate_hz, throat, low)
    if high - low < 0.02:
        return narrow
    share = (opening - low) / (high - low)
    return np.asarray((1 - share) * narrow + share * resonate(source, rate_hz, throat, high))


def struck(rate_hz: int, frequencies_hz: Signal, t60s_s: Signal, amplitudes: Signal, attack_s: float = 0.0005) -> Signal:
    """Return a struck body alone [its longest decay]."""
    length = samples_of(float(np.max(t60s_s)) + 0.005, rate_hz)
    return dsp.modes(np.arange(length) / rate_hz, 0.0, frequencies_hz, t60s_s, amplitudes, rate_hz, attack_s)


def click(rng: Rng, rate_hz: int, low_hz: float, high_hz: float, t60_s: float) -> Signal:
    """Return a short burst of band noise [1.2 · t60] of peak about 1 that decays by 60 dB in ``t60_s``."""
    length = samples_of(1.2 * t60_s, rate_hz)
    burst = band_noise(rng, length, rate_hz, low_hz, high_hz) * fade_out(length, rate_hz, t60_s, 0.0003)
    return burst / max(1e-9, float(np.max(np.abs(burst))))


def scatter(rng: Rng, length: int, rate_hz: int, per_s: float | Signal, grains: Sequence[Signal], heavy: float = 1.0) -> Signal:
    """Return random grains [length] at ``per_s`` events per second (Poisson, may vary in time); ``heavy`` makes loud ones rarer.

    Each event draws one grain and an amplitude, exponential to the power ``heavy``; cost hangs on the grains' number, not on the events'.
    """
    total = np.zeros(length)
    for grain in grains:
        hit = rng.random(length) < np.asarray(per_s) / rate_hz / len(grains)
        impulses = np.zeros(length)
        impulses[hit] = rng.exponential(1.0, int(hit.sum())) ** heavy * rng.choice((-1.0, 1.0), int(hit.sum()))
        total += signal.oaconvolve(impulses, grain)[:length]
    return total


def buzz(frequency_hz: Signal, rate_hz: int, rolloff: float, phase: float = 0.0) -> Signal:
    """Return a pulse-like tone [samples], harmonics k^−rolloff in phase, from a wave table without partials above Nyquist."""
    count = int(np.clip(0.48 * rate_hz / max(1.0, float(np.max(frequency_hz))), 1, 400))
    spectrum = np.zeros(2049, dtype=complex)
    spectrum[1 : count + 1] = np.arange(1, count + 1, dtype=float) ** -rolloff
    table = np.fft.irfft(spectrum, 4096)
    turns = (np.cumsum(frequency_hz) / rate_hz + phase) % 1.0
    return dsp.unit_rms(np.interp(turns * 4096, np.arange(4097), np.append(table, table[0])))


def resonate(sound: Signal, rate_hz: int, body: Tract, opening: float = 1.0) -> Signal:
    """Return the sound [samples] through fixed resonances, all times ``opening``, in the frequency domain (zero phase), at unit RMS."""
    padded = len(sound) + 1024
    spectrum = np.fft.rfft(sound, padded)
    return dsp.unit_rms(
        np.fft.irfft(spectrum * body.response(np.asarray(np.fft.rfftfreq(padded, opening / rate_hz), dtype=np.float64)), padded)[
            : len(sound)
        ]
    )
