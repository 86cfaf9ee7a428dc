"""People: voices by source and filter (Fant 1960), coughs, sneezes and breath as shaped noise, hands and feet as impacts (Farnell 2010)."""

from __future__ import annotations

from functools import partial

import numpy as np

from core import dsp
from core.dsp import Signal
from tasks.synthesize_captioned.everyday.parts import (
    Family,
    band_noise,
    click,
    hump,
    place,
    random_curve,
    samples_of,
    scatter,
    series,
    shaped_noise,
    starts,
    struck,
    tract,
    voice,
)
from tasks.synthesize_captioned.words import Described, Rng, count_of, log_uniform, pick, word


def crying_baby(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Wails of 0.5–1.5 s at 350–600 Hz, fast up and slowly down, some hoarse, some above 1 kHz; a gasp between (Wasz-Höckert 1968)."""
    sound, base = np.zeros_like(times), log_uniform(rng, 330, 620)
    throat, tilt = tract(rng, (1150, 3000, 4600), rng.uniform(0.85, 1.2), 4, ceiling_hz=(2500, 8000)), rng.uniform(0.0, 0.7)
    hoarse, gasp, vibrato = rng.uniform(0.0, 0.5), rng.uniform(0.02, 0.25), rng.uniform(0, 0.03)
    at, longest, pause = rng.uniform(0, 0.2), rng.uniform(0.5, 1.5), log_uniform(rng, 0.1, 1.2)
    while at < times[-1] - 0.1:
        length = samples_of(longest * rng.uniform(0.6, 1.0), rate_hz)
        share = np.linspace(0, 1, length)
        arch = 0.75 + 0.3 * np.minimum(share / 0.15, 1) - rng.uniform(0.05, 0.3) * np.clip((share - 0.5) / 0.5, 0, 1)
        pitch = base * rng.uniform(0.92, 1.1) * arch * (1 + vibrato * np.sin(2 * np.pi * 6 * share * length / rate_hz))
        if rng.random() < 0.12:
            pitch = pitch * rng.uniform(1.8, 2.4)
        rough = hoarse if rng.random() < 0.6 else min(1.0, hoarse + 0.5)
        opening = 0.85 + 0.25 * np.sin(np.pi * share)
        wail = voice(rng, pitch, rate_hz, throat, tilt=tilt, breath=rng.uniform(0.03, 0.2), rough=rough, opening=opening)
        place(sound, wail * hump(length, 0.1, 0.3), at, rate_hz, rng.uniform(0.7, 1))
        at += length / rate_hz + rng.uniform(0.03, 0.12)
        breath = band_noise(rng, samples_of(rng.uniform(0.1, 0.3), rate_hz), rate_hz, 900, 4500)
        place(sound, breath * hump(len(breath), 0.5, 0.3), at, rate_hz, gasp)
        at += len(breath) / rate_hz + rng.uniform(0.2, 1.0) * pause
    return sound, f"{word(base, (450,), ('loud', 'shrill'))} {pick(rng, ('wails', 'cries', 'screams'))} and gasps for breath"


def sneezing(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """An inhaled "ah", a hold, a violent burst of wide noise with a hiss, and a vowel that falls; once or twice."""
    sound, base = np.zeros_like(times), log_uniform(rng, 130, 420)
    scale = np.clip(base / 220, 0.85, 1.3) ** 0.5
    throat, twice = tract(rng, (620, 1250, 2600, 3500), scale, 5, ceiling_hz=(2000, 8000)), bool(rng.random() < 0.2 and times[-1] > 2.5)
    at = rng.uniform(0, 0.15 * times[-1])
    voiced, hiss = rng.uniform(0, 1.3), log_uniform(rng, 900, 4000)
    inhaled = bool(rng.random() < 0.6)
    for _ in range(1 + int(twice)):
        if inhaled:
            length = samples_of(rng.uniform(0.15, 0.5), rate_hz)
            inhale = band_noise(rng, length, rate_hz, 700, 4000)
            call = voice(rng, base * np.linspace(0.9, 1.4, length), rate_hz, throat, tilt=0.9, breath=0.5)
            place(sound, (0.4 * inhale + 0.6 * voiced * call) * hump(length, 0.7, 0.1), at, rate_hz, rng.uniform(0.1, 0.7))
            at += length / rate_hz + rng.uniform(0.02, 0.25)
        length = samples_of(rng.uniform(0.12, 0.35), rate_hz)
        blast = band_noise(rng, length, rate_hz, hiss, 8000, rng.uniform(-4, 0)) * rng.uniform(0.3, 1.0) + 0.8 * shaped_noise(
            rng, length, throat.response, rate_hz
        )
        place(sound, blast * hump(length, 0.04, 0.8, 1.3), at, rate_hz, rng.uniform(0.8, 1.4))
        tail = samples_of(rng.uniform(0.15, 0.6), rate_hz)
        vowel = voice(rng, base * np.linspace(1.3, 0.75, tail), rate_hz, throat, tilt=0.8, breath=rng.uniform(0.4, 1.5), rough=0.3)
        place(sound, vowel * hump(tail, 0.1, 0.7), at + rng.uniform(0.02, 0.6) * length / rate_hz, rate_hz, 0.3 + 0.7 * voiced)
        at += (length + tail) / rate_hz + rng.uniform(0.4, 1.0)
    start = "a sharp breath in and then " if inhaled else ""
    return sound, f"{start}{'two violent bursts' if twice else 'a violent burst'} of {word(voiced, (0.4,), ('hissing', 'voiced'))} air"


def coughing(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """One to five coughs: a burst of 40 ms, 100–250 ms of throat noise and, in some, a voiced end."""
    sound, base, voiced = np.zeros_like(times), log_uniform(rng, 100, 380), rng.uniform(0, 0.9)
    throat, wet = tract(rng, (600, 1400, 2500, 3700), rng.uniform(0.85, 1.25), 3.5), bool(rng.random() < 0.4)
    events = series(rng, times[-1], 0.35, rng.uniform(1.6, 3.2), 5)
    for start in events:
        length = samples_of(rng.uniform(0.15, 0.32), rate_hz)
        noise = shaped_noise(rng, length, throat.response, rate_hz) * hump(length, 0.05, 0.85)
        if wet:
            noise *= 0.4 + random_curve(rng, length, rate_hz, 60, 0, 1.2)
        place(sound, noise, start, rate_hz, rng.uniform(0.7, 1))
        place(sound, click(rng, rate_hz, 300, 5000, 0.06), start, rate_hz, rng.uniform(0.8, 2))
        end = voice(rng, base * np.linspace(1.15, 0.8, length), rate_hz, throat, tilt=0.7, breath=0.4, rough=0.5) * hump(length, 0.3, 0.4)
        place(sound, end, start + rng.uniform(0.02, 0.12), rate_hz, voiced * rng.uniform(0.5, 1))
    return sound, count_of(len(events), f"{'wet' if wet else 'dry'} {word(base, (200,), ('deep', 'light'))} cough")


def laughing(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Ha-ha: breathy vowels of 60–130 ms, four to six per second, at 130–500 Hz, falling over each bout (Bachorowski 2001)."""
    sound, base, rate = np.zeros_like(times), log_uniform(rng, 130, 500), rng.uniform(3.8, 6.5)
    scale = np.clip(base / 220, 0.85, 1.3) ** 0.5
    throat, bout, at, number = tract(rng, (700, 1300, 2600, 3600), scale, 5), int(rng.integers(4, 11)), rng.uniform(0, 0.3), 0
    people = int(rng.random() < 0.25)
    while at < times[-1]:
        length = samples_of(rng.uniform(0.35, 0.65) / rate, rate_hz)
        fall = 1.2 - 0.45 * (number % bout) / bout
        pitch = base * fall * rng.uniform(0.95, 1.05) * np.linspace(1.08, 0.92, length)
        syllable = voice(rng, pitch, rate_hz, throat, tilt=rng.uniform(0.6, 1.0), breath=rng.uniform(0.15, 0.6))
        breath = shaped_noise(rng, length, throat.response, rate_hz) * hump(length, 0.4, 0.5)
        place(sound, syllable * hump(length, 0.2, 0.5) * (0.5 + 0.5 * fall), at, rate_hz)
        place(sound, breath, at - 0.06, rate_hz, 0.25)
        if people:
            place(
                sound,
                syllable[:: 2 if base < 250 else 1] * hump(len(syllable[:: 2 if base < 250 else 1]), 0.2, 0.5),
                at + 0.09,
                rate_hz,
                0.4,
            )
        number += 1
        at += rng.uniform(0.92, 1.08) / rate + (rng.uniform(0.2, 0.7) if number % bout == 0 else 0.0)
    return sound, f"{word(base, (220, 350), ('deep', 'bright', 'high giggling'))} repeated ha-ha{' of two people' if people else ''}"


def snoring(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A rattling breath in of 0.6–1.6 s, palate pulses at 25–90 Hz through low formants, then a soft breath out."""
    sound, base, period = np.zeros_like(times), log_uniform(rng, 25, 90), rng.uniform(1.8, 4.0)
    throat, nose = tract(rng, (280, 700, 1700), rng.uniform(0.8, 1.3), 2.5), rng.uniform(0.05, 0.3)
    for start in np.arange(rng.uniform(0, 0.25) * min(period, times[-1]), times[-1], period):
        length = samples_of(rng.uniform(0.35, 0.5) * period, rate_hz)
        pitch = base * (1 + random_curve(rng, length, rate_hz, 6, -0.15, 0.15))
        rattle = voice(rng, pitch, rate_hz, throat, tilt=0.1, breath=rng.uniform(0.2, 0.9), rough=rng.uniform(0.4, 1.0))
        place(sound, rattle * hump(length, 0.3, 0.25), start, rate_hz)
        out = band_noise(rng, samples_of(0.3 * period, rate_hz), rate_hz, 400, 2500)
        place(sound, out * hump(len(out), 0.2, 0.6), start + 0.6 * period, rate_hz, nose)
    return sound, f"{word(base, (45,), ('deep rattling', 'buzzing'))} breaths in and soft breaths out"


def breathing(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Noise that swells twice per breath, the way in higher than the way out."""
    sound, rate, throat = np.zeros_like(times), log_uniform(rng, 0.3, 1.4), tract(rng, (800, 1700, 3000), rng.uniform(0.8, 1.3), 1.8)
    for start in np.arange(-rng.uniform(0, 0.3) / rate, times[-1], 1 / rate):
        for offset, shift, gain in ((0.0, 1.35, rng.uniform(0.5, 1)), (0.48, 0.8, 1.0)):
            length = samples_of(0.42 / rate, rate_hz)
            air = shaped_noise(rng, length, lambda frequency, by=shift: throat.response(frequency / by), rate_hz)  # type: ignore[misc]
            place(sound, air * hump(length, 0.35, 0.5), start + offset / rate, rate_hz, gain)
    return sound, f"{word(rate, (0.5, 0.9), ('calm', 'steady', 'heavy fast'))} breaths in and out"


def clapping(rng: Rng, times: Signal, rate_hz: int, crowd: bool = False) -> Described:
    """Hands: noise through a 700–2,500 Hz resonance, 20–60 ms; one person in rhythm, or an applause of many (Repp 1987)."""
    hands = [click(rng, rate_hz, centre * 0.7, centre * 1.8, rng.uniform(0.02, 0.06)) for centre in np.exp(rng.uniform(6.5, 7.9, 6))]
    if crowd:
        swell = random_curve(rng, len(times), rate_hz, 0.5, 0.6, 1.2)
        return scatter(rng, len(times), rate_hz, log_uniform(rng, 60, 700) * swell, hands, 0.6), "the dense patter of a crowd's hands"
    sound, rate = np.zeros_like(times), rng.uniform(1.8, 5)
    for start in starts(rng, times[-1], rate, 0.03):
        place(sound, hands[int(rng.integers(6))], start, rate_hz, rng.uniform(0.6, 1))
    return sound, f"{word(rate, (3,), ('slow', 'fast'))} claps of two hands in rhythm"


def footsteps(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Heel and toe, 0.1 s apart, 1.3–3.2 steps per second, on wood, stone, gravel or leaves."""
    sound, rate, ground = np.zeros_like(times), rng.uniform(1.3, 3.2), pick(rng, ("wood", "stone", "gravel", "dry leaves"))
    body = log_uniform(rng, 70, 250) if ground == "wood" else log_uniform(rng, 200, 900)
    for start in starts(rng, times[-1], rate, 0.04):
        gain = rng.uniform(0.6, 1)
        for offset, level in ((0.0, 1.0), (rng.uniform(0.06, 0.14), rng.uniform(0.3, 0.7))):
            at = start + offset
            if ground in ("wood", "stone"):
                t60s = np.array([0.12, 0.08, 0.04]) * (1.0 if ground == "wood" else 0.4)
                place(
                    sound, struck(rate_hz, body * np.array([1, 2.3, 4.1]), t60s, np.array([1, 0.5, 0.3]), 0.002), at, rate_hz, gain * level
                )
                place(sound, click(rng, rate_hz, 1000, 6000, 0.02), at, rate_hz, 0.4 * gain * level)
            else:
                grains = [click(rng, rate_hz, 900, 5500, rng.uniform(0.005, 0.02)) for _ in range(3)]
                crunch = scatter(rng, samples_of(0.16, rate_hz), rate_hz, 500, grains) * hump(samples_of(0.16, rate_hz), 0.2, 0.6)
                place(sound, crunch, at, rate_hz, gain * level)
    return sound, f"{word(rate, (2.0, 2.7), ('slow', 'walking', 'running'))} steps on {ground}"


def brushing_teeth(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Scrubbing: 2–8 kHz noise in strokes, four to nine per second, forth brighter than back."""
    rate, low = rng.uniform(3.5, 9), rng.uniform(1200, 3000)
    phase = np.cumsum(rate * (1 + random_curve(rng, len(times), rate_hz, 2, -0.15, 0.15))) / rate_hz
    forth, back = np.maximum(0, np.sin(2 * np.pi * phase)) ** 1.5, np.maximum(0, -np.sin(2 * np.pi * phase)) ** 1.5
    first, second = band_noise(rng, len(times), rate_hz, low * 1.4, 7500), band_noise(rng, len(times), rate_hz, low * 0.7, 5000)
    pauses = np.clip(random_curve(rng, len(times), rate_hz, 1.0, -0.1, 1.3), 0.03, 1)
    return (forth * first + back * second) * pauses, f"{word(rate, (6,), ('steady', 'quick'))} scrubbing strokes"


def drinking(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Sips of noise with bubbling, each followed by one or two gulps at 150–500 Hz that glide up."""
    sound, at = np.zeros_like(times), rng.uniform(0, 0.3)
    base, slurp = log_uniform(rng, 150, 450), rng.uniform(0.2, 1)
    while at < times[-1]:
        length = samples_of(rng.uniform(0.2, 0.6), rate_hz)
        sip = band_noise(rng, length, rate_hz, 900, 4500) * hump(length, 0.4, 0.2) * random_curve(rng, length, rate_hz, 45, 0.1, 1)
        place(sound, sip, at, rate_hz, slurp)
        at += length / rate_hz + rng.uniform(0.05, 0.3)
        for _ in range(int(rng.integers(1, 3))):
            share = np.linspace(0, 1, samples_of(rng.uniform(0.07, 0.14), rate_hz))
            gulp = dsp.oscillator(base * rng.uniform(0.8, 1.2) * (1 + 0.8 * share), rate_hz, np.array([1, 0.3])) * hump(
                len(share), 0.2, 0.6
            )
            place(sound, gulp, at, rate_hz, rng.uniform(0.5, 1))
            place(sound, click(rng, rate_hz, 500, 3000, 0.02), at, rate_hz, 0.3)
            at += rng.uniform(0.15, 0.4)
        at += rng.uniform(0.2, 0.8)
    return sound, f"{word(slurp, (0.5,), ('quiet', 'slurping'))} sips and gulps"


def speech(rng: Rng, times: Signal, rate_hz: int, children: bool = False) -> Described:
    """Babble without words: vowels between consonant noise, three to six syllables per second, one voice or children at play."""
    sound = np.zeros_like(times)
    vowels = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
    base = 0.0
    for number in range(int(rng.integers(3, 6)) if children else 1):
        base = log_uniform(rng, 250, 520) if children else log_uniform(rng, 90, 260)
        rate, at, gain = rng.uniform(3, 6), rng.uniform(0, 0.4), 1.0 if number == 0 else rng.uniform(0.2, 0.7)
        while at < times[-1]:
            throat = tract(rng, vowels[int(rng.integers(5))], 1.25 if children else np.clip(base / 150, 0.95, 1.17), 8, 0.05)
            length = samples_of(rng.uniform(0.6, 1.0) / rate, rate_hz)
            pitch = base * rng.uniform(0.8, 1.3) * np.linspace(1.1, rng.uniform(0.8, 1.1), length)
            place(sound, voice(rng, pitch, rate_hz, throat, breath=0.05) * hump(length, 0.2, 0.3), at, rate_hz, gain * rng.uniform(0.4, 1))
            if rng.random() < 0.5:
                place(sound, click(rng, rate_hz, 2000, 7000, rng.uniform(0.03, 0.15)), at - 0.05, rate_hz, 0.3 * gain)
            at += 1 / rate + (rng.uniform(0.2, 0.8) if rng.random() < 0.15 else 0.0)
    who = "high voices shouting and laughing" if children else f"a {word(base, (150,), ('low', 'high'))} voice talking"
    return sound, who


FAMILIES: dict[str, Family] = {
    "crying_baby": Family(
        crying_baby,
        ("crying baby", "baby cry", "baby crying", "baby"),
        ("a baby crying", "a crying baby", "an infant crying", "a baby cry"),
    ),
    "sneezing": Family(
        sneezing, ("sneezing", "person sneeze", "sneeze", "person sneezing"), ("a person sneezing", "a sneeze", "someone sneezing")
    ),
    "coughing": Family(coughing, ("coughing", "cough", "person coughing"), ("a person coughing", "a cough", "someone coughing")),
    "laughing": Family(laughing, ("laughing", "laughter", "person laughing"), ("a person laughing", "laughter", "someone laughing")),
    "snoring": Family(snoring, ("snoring", "snore", "person snoring"), ("a person snoring", "snoring", "a man snoring")),
    "breathing": Family(breathing, ("breathing", "breath"), ("a person breathing", "breathing", "someone breathing")),
    "clapping": Family(clapping, ("clapping", "hand clapping"), ("a person clapping", "clapping hands", "hands clapping")),
    "applause": Family(partial(clapping, crowd=True), ("applause", "clapping"), ("an audience clapping", "applause")),
    "footsteps": Family(footsteps, ("footsteps", "walking", "footstep"), ("footsteps", "a person walking", "footsteps of a person")),
    "brushing_teeth": Family(brushing_teeth, ("brushing teeth", "toothbrush"), ("a person brushing teeth", "brushing teeth")),
    "drinking": Family(
        drinking,
        ("drinking sipping", "drinking", "sipping", "gulp"),
        ("a person drinking", "someone drinking and sipping", "sipping a drink"),
    ),
    "speech": Family(speech, ("speech", "person talking", "conversation"), ("a person talking", "speech", "someone speaking")),
    "children_playing": Family(partial(speech, children=True), ("children playing", "children"), ("children playing", "children at play")),
}
