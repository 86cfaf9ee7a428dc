"""Birds: voices of a syrinx, whistled or harmonic (Suthers & Zollinger 2004)."""

from __future__ import annotations

import numpy as np

from core import dsp
from core.dsp import Signal
from tasks.synthesize_captioned.everyday.parts import Family, hump, place, samples_of, series, starts, tract, voice
from tasks.synthesize_captioned.words import Described, Rng, count_of, log_uniform, pick, pitch_word, word


def rooster(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A crow: four syllables, harmonics on 400–1,000 Hz, strong at 1–3 kHz, the last one high, long and falling."""
    sound, base = np.zeros_like(times), log_uniform(rng, 420, 900)
    lengths = np.array([rng.uniform(0.12, 0.3), rng.uniform(0.08, 0.2), rng.uniform(0.2, 0.5), rng.uniform(0.5, 1.4)])
    gaps = rng.uniform(0.02, 0.1, 4)
    if rng.random() < 0.25:
        lengths[1] = 0.05
    shrink = min(1.0, 0.95 * times[-1] / float(lengths.sum() + gaps.sum()))
    lengths, gaps = lengths * shrink, gaps * shrink
    whole = float(lengths.sum() + gaps.sum())
    begins, ends = np.array([0.7, 0.85, 0.95, 1.05]), np.array([0.85, 0.95, 1.15, rng.uniform(0.45, 0.8)])
    throat, tilt, rough = (
        tract(rng, (1500, 2400), rng.uniform(0.85, 1.2), 5, ceiling_hz=(1500, 5000)),
        rng.uniform(0.0, 0.4),
        rng.uniform(0.1, 0.5),
    )
    repeats = 1 + int((times[-1] - whole) / (whole + 1.0)) * int(rng.random() < 0.5)
    start = rng.uniform(0, max(0.0, times[-1] - whole) * 0.5)
    for _ in range(repeats):
        for number in range(4):
            length = samples_of(lengths[number], rate_hz)
            share = np.linspace(0, 1, length)
            hold = np.clip((share - 0.55) / 0.45, 0, 1) if number == 3 else share
            pitch = base * (begins[number] + (ends[number] - begins[number]) * hold) * (1 + 0.08 * np.sin(np.pi * share))
            part = voice(rng, pitch, rate_hz, throat, tilt=tilt, breath=rng.uniform(0.05, 0.25), rough=rough)
            place(sound, part * hump(length, 0.12, 0.35 if number == 3 else 0.2), start, rate_hz, (0.5, 0.6, 0.9, 1.0)[number])
            start += lengths[number] + gaps[number]
        start += rng.uniform(0.5, 1.0)
    return sound, f"a {word(base, (600,), ('hoarse', 'shrill'))} four-part crow with a long falling end"


def hen(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Clucks: 40–120 ms at 300–800 Hz, falling, harmonic and rough, two to six per second; sometimes a long cackle."""
    sound, base = np.zeros_like(times), log_uniform(rng, 300, 800)
    throat, rate, cackle = tract(rng, (900, 2000, 3300), 1.0, 4), rng.uniform(1.5, 6), bool(rng.random() < 0.4)
    for number, start in enumerate(starts(rng, times[-1], rate, 0.15)):
        long = cackle and number % 5 == 4
        length = samples_of(rng.uniform(0.25, 0.5) if long else rng.uniform(0.04, 0.12), rate_hz)
        pitch = base * rng.uniform(0.85, 1.1) * (np.linspace(1.2, 1.7, length) if long else np.linspace(1.15, 0.75, length))
        cluck = voice(rng, pitch, rate_hz, throat, tilt=rng.uniform(0.2, 0.7), breath=rng.uniform(0.1, 0.5), rough=rng.uniform(0.1, 0.6))
        place(sound, cluck * hump(length, 0.2, 0.5), start, rate_hz, rng.uniform(0.3, 1.0))
    return sound, f"{word(rate, (3,), ('slow', 'quick'))} clucks{' and a rising cackle' if cackle else ''}"


def crow(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Caws: 0.2–0.5 s at 300–650 Hz, flat harmonics up to 3 kHz strongest at 1.2–2 kHz, hoarse, two to five in a row."""
    sound, base = np.zeros_like(times), log_uniform(rng, 300, 650)
    length_s, throat = rng.uniform(0.2, 0.5), tract(rng, (1550, 2700), rng.uniform(0.8, 1.2), 3)
    breath, rough = rng.uniform(0.3, 1.0), rng.uniform(0.4, 1.0)
    events = series(rng, times[-1], length_s, min(rng.uniform(1.2, 2.2), 0.8 / length_s), 5)
    for start in events:
        length = samples_of(length_s * rng.uniform(0.85, 1.15), rate_hz)
        pitch = base * (1 + 0.12 * np.sin(np.pi * np.linspace(0, 1, length))) * np.linspace(1.05, 0.9, length)
        caw = voice(rng, pitch, rate_hz, throat, tilt=rng.uniform(0, 0.3), breath=breath, rough=rough)
        place(sound, caw * hump(length, 0.12, 0.3), start, rate_hz, rng.uniform(0.7, 1))
    return sound, count_of(len(events), "hoarse caw")


def _syllable(rng: Rng, base_hz: float, length_s: float, rate_hz: int) -> Signal:
    """Return one whistled syllable: a sweep up, down or arched, or a fast trill."""
    share = np.linspace(0, 1, samples_of(length_s, rate_hz))
    kind, depth = int(rng.integers(4)), rng.uniform(0.05, 0.5)
    bend = (share, -share, np.sin(np.pi * share), 0.3 * np.sin(2 * np.pi * rng.uniform(25, 60) * length_s * share))[kind]
    pitch = np.minimum(base_hz * 2 ** (depth * bend), 0.45 * rate_hz)
    return dsp.oscillator(pitch, rate_hz, np.array([1.0, rng.uniform(0.02, 0.2)])) * hump(len(share), 0.25, 0.35)


def song_bird(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Whistled syllables of 30–250 ms at 2–7 kHz; each bird repeats a few of its own, in phrases with pauses."""
    sound, base, number = np.zeros_like(times), log_uniform(rng, 2000, 6000), int(rng.integers(1, 4))
    rate = log_uniform(rng, 2, 10)
    for bird in range(number):
        own, gain = base * (1.0 if bird == 0 else rng.uniform(0.7, 1.3)), 1.0 if bird == 0 else rng.uniform(0.1, 0.5)
        length_s = min(rng.uniform(0.03, 0.25), 0.7 / rate)
        syllables = [
            _syllable(rng, own * rng.uniform(0.75, 1.3), length_s * rng.uniform(0.6, 1.3), rate_hz) for _ in range(int(rng.integers(1, 5)))
        ]
        phrase, pause = int(rng.integers(2, 9)), rng.uniform(0.1, 1.0)
        at, position = rng.uniform(0, 0.3), 0
        while at < times[-1]:
            place(sound, syllables[(position // 2) % len(syllables)], at, rate_hz, gain * rng.uniform(0.6, 1))
            position += 1
            at += rng.uniform(0.9, 1.1) / rate + (pause if position % phrase == 0 else 0.0)
    many = "several birds, " if number > 2 else ""
    return sound, f"{many}{word(rate, (4,), ('slow', 'quick'))} {pitch_word(base)} {pick(rng, ('whistles', 'tweets', 'chirps'))}"


def pigeon(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Cooing of doves, and of owls: nearly pure 250–650 Hz notes in a rhythm of long and short ones, some with a purr."""
    sound, base = np.zeros_like(times), log_uniform(rng, 250, 650)
    pattern, purr = rng.uniform(0.12, 0.6, int(rng.integers(2, 6))), rng.random() < 0.5
    pause, at, position = rng.uniform(0.3, 1.0), rng.uniform(0, 0.3), 0
    while at < times[-1]:
        length = samples_of(pattern[position % len(pattern)], rate_hz)
        share = np.linspace(0, 1, length)
        note = dsp.oscillator(base * (1 + 0.06 * np.sin(np.pi * share)), rate_hz, np.array([1.0, 0.12, 0.04]))
        if purr and position % 2 == 0:
            note *= 0.6 + 0.4 * np.sin(2 * np.pi * 28 * np.arange(length) / rate_hz)
        place(sound, note * hump(length, 0.3, 0.4), at, rate_hz, rng.uniform(0.7, 1))
        position += 1
        at += length / rate_hz + rng.uniform(0.04, 0.12) + (pause if position % len(pattern) == 0 else 0.0)
    return sound, f"soft {word(base, (400,), ('low', 'hollow'))} coos in a rhythm"


FAMILIES: dict[str, Family] = {
    "rooster": Family(
        rooster,
        ("rooster", "rooster crow", "rooster crowing", "crowing rooster"),
        ("a rooster crowing", "a rooster", "a cock crowing at dawn"),
    ),
    "hen": Family(hen, ("hen", "chicken", "hen clucking", "cluck"), ("a hen clucking", "chickens clucking", "a hen")),
    "crow": Family(crow, ("crow", "crow caw", "caw"), ("a crow cawing", "a crow", "crows cawing")),
    "song_bird": Family(
        song_bird,
        ("bird chirp", "chirping birds", "bird song", "bird", "tweet"),
        ("a bird singing", "birds chirping", "a bird chirping", "birds singing"),
    ),
    "pigeon": Family(pigeon, ("pigeon", "dove", "owl", "coo"), ("a pigeon cooing", "a dove cooing", "an owl hooting")),
}
