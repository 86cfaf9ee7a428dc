"""Mammals and frogs: glottis, throat and a mouth that opens (source–filter theory: Fitch 1997; Taylor & Reby 2010)."""

from __future__ import annotations

import numpy as np

from core.dsp import Signal
from tasks.synthesize_captioned.everyday.parts import (
    Family,
    buzz,
    click,
    hump,
    place,
    random_curve,
    samples_of,
    scatter,
    series,
    struck,
    tract,
    voice,
)
from tasks.synthesize_captioned.words import Described, Rng, count_of, log_uniform, pick, pitch_word, word


def dog(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Barks: 80–250 ms, pitch 200–900 Hz that jumps up and falls, two to four formants, noise, alone or in a series."""
    sound, base = np.zeros_like(times), log_uniform(rng, 200, 900)
    size = np.clip((450 / base) ** -0.4, 0.65, 1.4)
    throat = tract(rng, (650, 1300, 2600, 3900), size, rng.uniform(3, 7), ceiling_hz=(900, 4500))
    length_s, rate = rng.uniform(0.08, 0.32), log_uniform(rng, 1.3, 5)
    breath, rough, tilt = rng.uniform(0.05, 0.7), rng.uniform(0.1, 0.8), rng.uniform(0.3, 1.0)
    bend, rise = rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.4)
    events = series(rng, times[-1], length_s, min(rate, 0.8 / length_s), 4 + int(times[-1]))
    for start in events:
        length = samples_of(length_s * rng.uniform(0.85, 1.15), rate_hz)
        share = np.arange(length) / length
        pitch = (
            base
            * rng.uniform(0.93, 1.07)
            * (1 + bend * np.minimum(share / rise, 1) - 1.3 * bend * np.clip(share - rise, 0, 1) / (1 - rise))
        )
        opening = 0.75 + 0.35 * np.sin(np.pi * share**0.7)
        bark = voice(rng, pitch, rate_hz, throat, tilt=tilt, breath=breath, rough=rough, opening=opening)
        place(sound, bark * hump(length, 0.12, 0.6), start, rate_hz, rng.uniform(0.6, 1.0))
    size_word = word(base, (300, 550), ("deep", "sharp", "high yapping"))
    return sound, f"{count_of(len(events), f'{size_word} bark')}{' and pauses' if 1 < len(events) < 4 else ''}"


def cat(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Meows: 0.4–1.2 s, pitch 350–900 Hz in an arch, a mouth that opens and closes."""
    sound, base = np.zeros_like(times), log_uniform(rng, 350, 900)
    length_s = min(rng.uniform(0.4, 1.2), 0.8 * times[-1])
    throat, tilt, bend = tract(rng, (950, 2400, 4200), 1.0, 5), rng.uniform(0.5, 1.2), rng.uniform(0.1, 0.45)
    events = series(rng, times[-1], length_s, 0.7 / length_s, 3)
    for start in events:
        share = np.arange(samples_of(length_s * rng.uniform(0.85, 1.1), rate_hz)) / samples_of(length_s, rate_hz)
        pitch = base * rng.uniform(0.92, 1.08) * (1 + bend * np.sin(np.pi * np.clip(share, 0, 1)) - 0.5 * bend * share)
        opening = 0.5 + 0.75 * np.sin(np.pi * np.clip(share, 0, 1) ** 0.8)
        meow = voice(rng, pitch, rate_hz, throat, tilt=tilt, breath=rng.uniform(0.02, 0.15), rough=rng.uniform(0, 0.3), opening=opening)
        place(sound, meow * hump(len(meow), 0.2, 0.5), start, rate_hz, rng.uniform(0.7, 1.0))
    return sound, count_of(len(events), f"{word(length_s, (0.7,), ('short', 'long drawn'))} {pitch_word(base)} meow")


def cow(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A moo: 0.8–2.5 s, pitch 80–250 Hz that rises, holds and falls; the mouth opens from a hum."""
    sound, base = np.zeros_like(times), log_uniform(rng, 80, 250)
    length_s = min(rng.uniform(0.8, 2.5), 0.85 * times[-1])
    throat, rough = tract(rng, (320, 800, 1700, 2700), rng.uniform(0.85, 1.2), 5), rng.uniform(0.1, 0.6)
    events = series(rng, times[-1], length_s, 0.8 / length_s, 2)
    for start in events:
        share = np.linspace(0, 1, samples_of(length_s * rng.uniform(0.85, 1.1), rate_hz))
        pitch = base * (0.75 + 0.35 * np.minimum(share / 0.3, 1) - rng.uniform(0.05, 0.3) * np.clip((share - 0.6) / 0.4, 0, 1))
        opening = 0.6 + 0.6 * np.clip((share - 0.1) / 0.3, 0, 1)
        moo = voice(rng, pitch, rate_hz, throat, tilt=rng.uniform(0.6, 1.1), breath=rng.uniform(0.03, 0.2), rough=rough, opening=opening)
        place(sound, moo * hump(len(share), 0.2, 0.25), start, rate_hz)
    return sound, count_of(len(events), f"long {word(base, (130,), ('deep', 'plaintive'))} moo")


def sheep(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A bleat: 0.4–1.2 s, pitch 150–450 Hz with a tremor of 7–13 per second in level and pitch, nasal formants."""
    sound, base = np.zeros_like(times), log_uniform(rng, 150, 450)
    length_s, tremor = min(rng.uniform(0.4, 1.2), 0.8 * times[-1]), rng.uniform(7, 13)
    throat, depth = tract(rng, (700, 1500, 2700, 3800), rng.uniform(0.85, 1.25), 6), rng.uniform(0.3, 0.7)
    events = series(rng, times[-1], length_s, 0.7 / length_s, 3)
    for start in events:
        length = samples_of(length_s * rng.uniform(0.8, 1.1), rate_hz)
        swing = np.sin(2 * np.pi * tremor * np.arange(length) / rate_hz + rng.uniform(0, 6.28))
        pitch = base * (1 + 0.06 * swing) * np.linspace(1.05, 0.9, length)
        bleat = voice(rng, pitch, rate_hz, throat, tilt=rng.uniform(0.3, 0.8), breath=rng.uniform(0.05, 0.3), rough=rng.uniform(0.1, 0.5))
        place(sound, bleat * (1 - depth * (0.5 + 0.5 * swing)) * hump(length, 0.1, 0.3), start, rate_hz, rng.uniform(0.7, 1))
    return sound, count_of(len(events), f"trembling {word(base, (280,), ('low', 'high'))} bleat")


def pig(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Grunts: 0.1–0.4 s of rough pulses at 50–150 Hz through wide low formants; sometimes a squeal at 700–1,800 Hz."""
    sound, base, squeal = np.zeros_like(times), log_uniform(rng, 50, 150), bool(rng.random() < 0.35)
    throat, high = tract(rng, (420, 1000, 2300), rng.uniform(0.8, 1.4), 2.5), tract(rng, (1500, 2800, 4500), 1.0, 5)
    length_s, rate = rng.uniform(0.1, 0.4), rng.uniform(1.2, 3.5)
    events = series(rng, times[-1], length_s, min(rate, 0.8 / length_s), 8)
    for start in events:
        length = samples_of(length_s * rng.uniform(0.7, 1.2), rate_hz)
        pitch = base * rng.uniform(0.85, 1.15) * np.linspace(1.1, 0.8, length)
        grunt = voice(rng, pitch, rate_hz, throat, tilt=rng.uniform(0.1, 0.5), breath=rng.uniform(0.5, 1.5), rough=rng.uniform(0.5, 1.0))
        place(sound, grunt * hump(length, 0.25, 0.5), start, rate_hz, rng.uniform(0.5, 1.0))
    if squeal:
        share = np.linspace(0, 1, samples_of(min(rng.uniform(0.3, 1.0), 0.6 * times[-1]), rate_hz))
        pitch = log_uniform(rng, 700, 1800) * (1 + 0.3 * np.sin(np.pi * share))
        cry = voice(rng, pitch, rate_hz, high, tilt=0.4, breath=0.3, rough=rng.uniform(0.3, 0.9))
        place(sound, cry * hump(len(share), 0.1, 0.3), rng.uniform(0.1, 0.4) * times[-1], rate_hz, rng.uniform(0.6, 1.2))
    return sound, f"{count_of(len(events), 'rough low grunt')}{' and a piercing squeal' if squeal else ''}"


def frog(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Croaks: trains of 15–90 pulses per second, each ringing at 400–2,800 Hz (the vocal sac), 0.1–0.6 s long."""
    sound, sac = np.zeros_like(times), log_uniform(rng, 400, 2800)
    pulses, length_s, rate = log_uniform(rng, 15, 90), rng.uniform(0.1, 0.6), log_uniform(rng, 0.8, 4)
    step = min(rate, 0.8 / length_s)
    body = struck(
        rate_hz, sac * np.array([1, 1.9, 0.5]), np.array([0.03, 0.02, 0.04]) * rng.uniform(0.5, 1.5), np.array([1, 0.4, 0.4]), 0.002
    )
    events = np.arange(rng.uniform(0, 0.3), times[-1], 1 / step) + rng.normal(0, 0.03)
    for start in events:
        number = max(2, int(length_s * pulses))
        croak = np.zeros(samples_of(length_s + 0.1, rate_hz))
        for pulse in range(number):
            place(croak, body, pulse / pulses * rng.uniform(0.99, 1.01), rate_hz, 0.3 + 0.7 * np.sin(np.pi * (pulse + 0.5) / number))
        place(sound, croak, start, rate_hz, rng.uniform(0.7, 1))
    return sound, f"{word(step, (1.5,), ('slow', 'quick'))} {pitch_word(sac)} {pick(rng, ('croaks', 'rattling croaks', 'ribbits'))}"


def insects(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Wing beats of flies, bees and mosquitoes: a buzz at 100–600 Hz that comes and goes and wanders in pitch."""
    base, number = log_uniform(rng, 100, 600), int(rng.integers(1, 5))
    sound, rolloff = np.zeros_like(times), rng.uniform(0.7, 1.5)
    for _ in range(number):
        wander = random_curve(rng, len(times), rate_hz, rng.uniform(1, 6), -0.12, 0.12)
        near = random_curve(rng, len(times), rate_hz, rng.uniform(0.5, 3), 0.05, 1.0) ** 2
        sound += near * buzz(base * rng.uniform(0.8, 1.25) * (1 + wander), rate_hz, rolloff, rng.random())
    who = pick(rng, ("swarming", "circling", "passing close by")) if number > 1 else pick(rng, ("coming and going", "hovering"))
    return sound, f"a {word(base, (200, 400), ('deep', 'nasal', 'thin whining'))} buzz of wings {who}"


def crickets(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Stridulation: a nearly pure 2.5–6.5 kHz carrier in groups of two to five pulses, or one long trill, of one to four animals."""
    sound, trill = np.zeros_like(times), bool(rng.random() < 0.35)
    carrier, pulses = min(log_uniform(rng, 2500, 6500), 0.42 * rate_hz), rng.uniform(25, 60)
    rate, per_chirp = rng.uniform(1.2, 5), int(rng.integers(2, 6))
    for _ in range(int(rng.integers(1, 5))):
        clock = times + rng.uniform(0, 1)
        beat = np.maximum(0, np.sin(2 * np.pi * pulses * rng.uniform(0.9, 1.1) * clock)) ** 0.7
        gate = (
            np.ones_like(times)
            if trill
            else ((clock * rate * rng.uniform(0.85, 1.15)) % 1 < min(0.8, per_chirp / pulses * rate)).astype(float)
        )
        tone = np.sin(2 * np.pi * carrier * rng.uniform(0.94, 1.05) * times)
        sound += rng.uniform(0.2, 1) * beat * np.convolve(gate, np.ones(64) / 64, mode="same") * tone
    return (
        sound,
        f"{'a continuous shrill trill' if trill else 'shrill pulsed chirps'} at {word(carrier, (4000,), ('a high', 'a very high'))} pitch",
    )


def horse(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Hooves: pairs or threes of hollow knocks at 400–1,200 Hz in a walk, trot or gallop; sometimes on soft ground."""
    sound, base = np.zeros_like(times), log_uniform(rng, 350, 1200)
    beats: tuple[float, ...]
    beats, gait = ((0.0, 0.25, 0.5, 0.75), "walking") if rng.random() < 0.4 else ((0.0, 0.5), "trotting")
    if rng.random() < 0.35:
        beats, gait = (0.0, 0.2, 0.38), "galloping"
    period = rng.uniform(0.9, 1.3) if gait == "walking" else rng.uniform(0.45, 0.75)
    ground = rng.uniform(0.1, 0.8)
    for cycle in np.arange(rng.uniform(0, 0.2), times[-1], period):
        for beat in beats:
            pitch = base * rng.uniform(0.85, 1.2) * np.array([1, 2.1, 3.3])
            at = cycle + (beat + rng.normal(0, 0.01)) * period
            place(sound, struck(rate_hz, pitch, np.array([0.05, 0.03, 0.02]), np.array([1, 0.5, 0.3])), at, rate_hz, rng.uniform(0.6, 1))
            place(sound, click(rng, rate_hz, 80, 900, 0.06), at, rate_hz, ground)
    if rng.random() < 0.3:
        sound += 0.05 * scatter(rng, len(times), rate_hz, 60, [click(rng, rate_hz, 1500, 6000, 0.01)])
    return sound, f"{gait} hooves on {word(ground, (0.4,), ('hard', 'soft'))} ground"


FAMILIES: dict[str, Family] = {
    "dog": Family(
        dog,
        ("dog bark", "dog", "dog barking", "barking dog"),
        ("a dog barking", "a barking dog", "a dog bark", "dog barks"),
    ),
    "cat": Family(cat, ("cat", "cat meow", "meowing cat"), ("a cat meowing", "a cat", "a kitten meowing")),
    "cow": Family(cow, ("cow", "cow moo", "cow mooing", "cattle"), ("a cow mooing", "a cow", "cattle lowing")),
    "sheep": Family(sheep, ("sheep", "sheep bleating", "goat"), ("a sheep bleating", "a goat bleating", "sheep")),
    "pig": Family(pig, ("pig", "pig oink", "pig grunting"), ("a pig grunting", "a pig", "pigs oinking")),
    "frog": Family(frog, ("frog", "frog croaking", "frogs"), ("a frog croaking", "a frog", "frogs in a pond")),
    "insects": Family(
        insects,
        ("insects", "flying insects", "bee buzzing", "fly"),
        ("insects buzzing", "a bee buzzing", "a fly buzzing"),
    ),
    "crickets": Family(crickets, ("crickets", "cricket", "cricket chirping"), ("crickets chirping", "a cricket", "crickets at night")),
    "horse": Family(horse, ("horse", "clip clop", "horse hooves"), ("a horse on the road", "horse hooves", "a horse running")),
}
