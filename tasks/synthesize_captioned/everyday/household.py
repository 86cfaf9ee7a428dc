"""Things in and around the house: struck and rubbed bodies as modes (van den Doel & Pai 1998), beeps, shards, bangs."""

from __future__ import annotations

import numpy as np

from core import dsp
from core.dsp import Signal
from tasks.synthesize_captioned.everyday.parts import (
    Family,
    band_noise,
    click,
    fade_out,
    place,
    random_curve,
    resonate,
    samples_of,
    scatter,
    series,
    starts,
    struck,
    tract,
)
from tasks.synthesize_captioned.words import Described, Rng, count_of, log_uniform, pick, pitch_word, word


def clock_tick(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Alternating tick and tock, 1–6 per second, each one to three tiny impacts with high resonances, some with a wooden case."""
    sound, base, rate = np.zeros_like(times), log_uniform(rng, 900, 5500), log_uniform(rng, 1.0, 6.0)
    tock, case, wood = rng.uniform(0.6, 1.0), rng.uniform(0, 0.6), log_uniform(rng, 200, 900)
    strikes, ring, gains = rng.uniform(0, 0.02, int(rng.integers(1, 4))), log_uniform(rng, 0.006, 0.06), (1.0, rng.uniform(0.4, 1.0))
    strikes[0], dull = 0.0, rng.uniform(0.2, 1.0)
    ratios = np.array([1.0, rng.uniform(1.3, 1.9), rng.uniform(2.1, 3.0)])
    for number, start in enumerate(starts(rng, times[-1], rate, 0.004)):
        pitch, gain = base * (tock if number % 2 else 1.0), gains[number % 2] * rng.uniform(0.9, 1.1)
        for strike in strikes:
            body = struck(rate_hz, pitch * ratios, ring * np.array([1, 0.7, 0.5]), np.array([1, 0.6, 0.4]))
            place(sound, body, start + strike, rate_hz, gain * rng.uniform(0.5, 1))
            place(sound, click(rng, rate_hz, 1500, 9000, 0.008), start + strike, rate_hz, dull * gain)
        place(sound, struck(rate_hz, np.array([wood, wood * 2.2]), np.array([0.05, 0.03]), np.array([1, 0.5])), start, rate_hz, case * gain)
    return (
        sound,
        f"{word(rate, (1.5, 3.5), ('slow', 'steady', 'fast'))} {pick(rng, ('regular ticks', 'ticking and tocking', 'mechanical ticks'))}",
    )


def clock_alarm(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Beeps at 1–4 kHz in groups of two to four, or a bell hammered 15–30 times per second."""
    sound, pitch = np.zeros_like(times), min(log_uniform(rng, 1000, 4200), 0.4 * rate_hz)
    if rng.random() < 0.3:
        metal = struck(rate_hz, pitch * np.array([1, 1.52, 2.1, 2.9]), np.array([0.5, 0.4, 0.3, 0.2]), np.array([1, 0.7, 0.5, 0.4]))
        for start in starts(rng, times[-1], rng.uniform(15, 30), 0.03):
            place(sound, metal, start, rate_hz, rng.uniform(0.6, 1))
        return sound, "a shrill hammered bell without a break"
    beep, gap, group = rng.uniform(0.04, 0.2), rng.uniform(0.04, 0.15), int(rng.integers(1, 5))
    pause = rng.uniform(0.2, 0.8)
    at, number = rng.uniform(0, 0.3), 0
    flat = np.full(samples_of(beep, rate_hz), pitch)
    tone = dsp.oscillator(flat, rate_hz, np.arange(1, 6, dtype=float) ** -rng.uniform(0.7, 2.5))
    tone *= np.minimum(1, np.minimum(np.arange(len(flat)), np.arange(len(flat))[::-1]) / (0.003 * rate_hz))
    while at < times[-1]:
        place(sound, tone, at, rate_hz)
        number += 1
        at += beep + gap + (pause if number % group == 0 else 0.0)
    return sound, f"{pitch_word(pitch)} electronic beeps{f' in groups of {group}' if group > 1 else ''}"


def telephone(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A ring: two tones that warble 10–28 times per second, or a bell, 0.4–1.5 s on, a pause, and again."""
    low = log_uniform(rng, 450, 1900)
    on_s, pause_s = rng.uniform(0.4, 1.5), rng.uniform(0.2, 1.2)
    on = ((times + rng.uniform(0, on_s)) % (on_s + pause_s)) < on_s
    warble = np.sin(2 * np.pi * rng.uniform(10, 28) * times) > 0
    tone = dsp.oscillator(
        np.where(warble, low, low * rng.uniform(1.1, 1.4)), rate_hz, np.arange(1, 7, dtype=float) ** -rng.uniform(0.7, 2.2)
    )
    return np.convolve(on.astype(float), np.ones(81) / 81, mode="same") * tone, f"a {pitch_word(low)} warbling ring with pauses"


def door_knock(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Two to six knuckle knocks on wood, 2.5–7 per second: dull modes at 90–450 Hz and a short click."""
    sound, base, rate = np.zeros_like(times), log_uniform(rng, 90, 450), rng.uniform(2.5, 7)
    ratios = np.array([1.0, rng.uniform(1.5, 1.9), rng.uniform(2.2, 2.8), rng.uniform(3.2, 4.5)])
    t60s = rng.uniform(0.06, 0.25) / np.sqrt(ratios)
    events = series(rng, times[-1], 0.2, rate, 6)
    for start in events:
        place(sound, struck(rate_hz, base * ratios, t60s, np.array([1, 0.8, 0.5, 0.4]), 0.001), start, rate_hz, rng.uniform(0.6, 1))
        place(sound, click(rng, rate_hz, 500, 3500, 0.02), start, rate_hz, rng.uniform(0.3, 0.8))
    return sound, f"{count_of(len(events), word(base, (200,), ('hollow knock', 'hard knock')))} on wood"


def door_creak(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Stick and slip of a hinge: pulses at 20–400 per second that glide, through wooden resonances."""
    length, pitch = len(times), log_uniform(rng, 30, 250)
    glide = pitch * 2 ** random_curve(rng, length, rate_hz, rng.uniform(1, 4), -1, 1.2)
    phase = np.cumsum(glide * (1 + 0.15 * random_curve(rng, length, rate_hz, 60, -1, 1))) / rate_hz
    slips = np.zeros(length)
    at = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    slips[at] = rng.uniform(0.3, 1, len(at))
    sound = resonate(slips, rate_hz, tract(rng, (420, 900, 1600, 2700, 4200), rng.uniform(0.7, 1.4), 12))
    move = np.clip(random_curve(rng, length, rate_hz, 1.5, -0.3, 1.3), 0.02, 1)
    return sound * move, f"a {word(pitch, (90,), ('slow grating', 'squeaking'))} squeak of wood and hinges"


def keyboard(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Key strokes, 4–12 per second in runs: press and release clicks at 1.5–6 kHz and the board's knock."""
    sound, rate, board = np.zeros_like(times), rng.uniform(4, 12), log_uniform(rng, 200, 900)
    keys = [rng.uniform(1500, 4500) for _ in range(6)]
    pace = starts(rng, times[-1], rate, 0.3)
    for start in pace[rng.random(len(pace)) < 0.85] if len(pace) > 3 else pace:
        key = keys[int(rng.integers(6))]
        place(sound, click(rng, rate_hz, key * 0.7, key * 2, rng.uniform(0.008, 0.02)), start, rate_hz, rng.uniform(0.5, 1))
        place(
            sound,
            struck(rate_hz, np.array([board, board * 2.4]), np.array([0.03, 0.02]), np.array([1, 0.5])),
            start,
            rate_hz,
            rng.uniform(0.2, 0.6),
        )
        place(sound, click(rng, rate_hz, key, key * 2.5, 0.008), start + rng.uniform(0.05, 0.09), rate_hz, rng.uniform(0.1, 0.4))
    return sound, f"{word(rate, (7,), ('slow', 'fast'))} clattering keys"


def mouse_click(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A press and a release, 60–150 ms apart, 2–6 kHz and very short; single or double, with silence between."""
    sound, pitch, double = np.zeros_like(times), log_uniform(rng, 1800, 5500), bool(rng.random() < 0.4)
    events = starts(rng, times[-1], rng.uniform(0.6, 3), 0.25)
    for start in events:
        for again in (0.0, rng.uniform(0.15, 0.22)) if double else (0.0,):
            for offset, gain in ((0.0, 1.0), (rng.uniform(0.05, 0.1), rng.uniform(0.4, 0.9))):
                place(
                    sound, click(rng, rate_hz, pitch * 0.7, pitch * 1.8, rng.uniform(0.004, 0.012)), start + again + offset, rate_hz, gain
                )
    return sound, f"{'double' if double else 'single'} short dry clicks"


def glass_breaking(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """An impact, a wide burst, and many high ringing shards at 2–8 kHz that thin out and fall."""
    sound, start = np.zeros_like(times), rng.uniform(0, 0.3) * times[-1]
    place(sound, click(rng, rate_hz, 200, 7000, rng.uniform(0.1, 0.3)), start, rate_hz, 2.0)
    last = rng.uniform(0.3, 1.5)
    density = log_uniform(rng, 120, 700) * np.exp(-np.maximum(times - start, 0) / (0.3 * last)) * (times >= start)
    pitches = np.exp(rng.uniform(np.log(1800), np.log(0.45 * rate_hz), (8, 3)))
    shards = [struck(rate_hz, row, rng.uniform(0.03, 0.25, 3), np.array([1, 0.7, 0.5])) for row in pitches]
    sound += scatter(rng, len(times), rate_hz, density, shards, 1.3)
    return sound, f"a crash and {word(last, (0.8,), ('few', 'many'))} tinkling shards"


def church_bells(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """One to four bells: hum, prime, tierce, quint, nominal and above (Rossing 2000), long decays, struck 0.5–2 times per second."""
    sound, number, rate = np.zeros_like(times), int(rng.integers(1, 5)), rng.uniform(0.5, 1.6)
    prime = log_uniform(rng, 180, 900)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.66, 3.01, 4.17])
    for bell in range(number):
        own = prime * (1.0, 1.125, 1.25, 0.75)[bell] * rng.uniform(0.98, 1.02)
        t60s = np.minimum(rng.uniform(2, 6) / np.sqrt(ratios + 0.3), times[-1] + 0.5)
        stroke = struck(rate_hz, own * ratios * rng.normal(1, 0.004, 9), t60s, rng.uniform(0.3, 1, 9) / np.sqrt(ratios), 0.002)
        for start in np.arange(rng.uniform(0, 0.4), times[-1], rng.uniform(0.9, 1.1) / rate):
            place(sound, stroke, start + rng.normal(0, 0.01), rate_hz, rng.uniform(0.6, 1))
    return sound, f"{count_of(number, word(prime, (400,), ('deep bell', 'bright bell')))} tolling with a long ring"


def fireworks(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Rising whistles, bangs with a low boom, and crackling stars."""
    sound, number = np.zeros_like(times), int(rng.integers(1, max(2, int(times[-1] * 2)) + 1))
    whistle, stars = bool(rng.random() < 0.5), bool(rng.random() < 0.6)
    for start in rng.uniform(0.05, 0.8, number) * times[-1]:
        boom = samples_of(rng.uniform(0.3, 0.9), rate_hz)
        low = band_noise(rng, boom, rate_hz, 30, rng.uniform(150, 600), -2) * fade_out(boom, rate_hz, boom / rate_hz, 0.003)
        place(sound, low, start, rate_hz, rng.uniform(0.5, 1.2))
        place(sound, click(rng, rate_hz, 300, 6000, rng.uniform(0.05, 0.2)), start, rate_hz, rng.uniform(1, 3))
        if whistle:
            share = np.linspace(0, 1, samples_of(rng.uniform(0.3, 0.8), rate_hz))
            pitch = np.minimum(rng.uniform(900, 2500) * (1 + 0.8 * share), 0.45 * rate_hz)
            place(sound, dsp.oscillator(pitch, rate_hz) * share * (1 - share), start - len(share) / rate_hz, rate_hz, rng.uniform(0.5, 1.5))
        if stars:
            grains = [click(rng, rate_hz, 1200, 7000, 0.012) for _ in range(3)]
            crackle = scatter(rng, samples_of(1.0, rate_hz), rate_hz, 60, grains) * np.linspace(1, 0, samples_of(1.0, rate_hz))
            place(sound, crackle, start + 0.2, rate_hz, rng.uniform(0.3, 1))
    return sound, f"{count_of(number, 'loud bang')}{' after a whistle' if whistle else ''}{' and crackling stars' if stars else ''}"


def gun_shot(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A muzzle blast of a few milliseconds, a wide decay of 0.1–0.6 s and echoes."""
    sound, length_s = np.zeros_like(times), rng.uniform(0.15, 0.7)
    events = series(rng, times[-1], length_s, rng.uniform(1.5, 6), 4)
    echo = rng.uniform(0.05, 0.35)
    for start in events:
        length = samples_of(length_s, rate_hz)
        blast = band_noise(rng, length, rate_hz, 60, rng.uniform(1500, 6000), -2) * fade_out(length, rate_hz, length_s, 0.0005)
        place(sound, click(rng, rate_hz, 200, 9000, 0.01), start, rate_hz, 3.0)
        for number in range(4):
            place(sound, blast, start + number * echo * rng.uniform(0.8, 1.2), rate_hz, rng.uniform(0.15, 0.4) ** number)
    return sound, f"{count_of(len(events), 'sharp shot')} with an echo"


def can_opening(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A ring pull's click, a crack, a hiss of gas that dies away, and fizzing."""
    sound, start = np.zeros_like(times), rng.uniform(0.05, 0.35) * times[-1]
    metal = struck(rate_hz, rng.uniform(1500, 3500) * np.array([1, 1.7, 2.3]), np.array([0.05, 0.04, 0.03]), np.array([1, 0.7, 0.5]))
    place(sound, metal, start - rng.uniform(0.1, 0.3), rate_hz, rng.uniform(0.2, 0.7))
    place(sound, metal + np.pad(click(rng, rate_hz, 800, 8000, 0.02), (0, len(metal)))[: len(metal)], start, rate_hz, 1.5)
    hiss = samples_of(rng.uniform(0.15, 0.8), rate_hz)
    place(
        sound,
        band_noise(rng, hiss, rate_hz, rng.uniform(1500, 3500), 9000) * fade_out(hiss, rate_hz, hiss / rate_hz, 0.005),
        start,
        rate_hz,
        rng.uniform(0.4, 1),
    )
    fizz = rng.uniform(0.0, 0.1)
    sound += fizz * (times > start) * dsp.unit_rms(scatter(rng, len(times), rate_hz, 400, [click(rng, rate_hz, 3000, 7500, 0.004)]))
    return sound, "a metallic crack and a short hiss of gas"


FAMILIES: dict[str, Family] = {
    "clock_tick": Family(
        clock_tick,
        ("clock tick", "clock", "ticking clock", "clock ticking"),
        ("a clock ticking", "a ticking clock", "a clock tick", "a wall clock"),
    ),
    "clock_alarm": Family(clock_alarm, ("clock alarm", "alarm clock", "alarm"), ("an alarm clock", "an alarm beeping", "a clock alarm")),
    "telephone": Family(telephone, ("telephone", "telephone ringing", "phone"), ("a telephone ringing", "a telephone", "a phone ringing")),
    "door_knock": Family(door_knock, ("door knock", "door wood knock", "knock"), ("a knock on the door", "someone knocking at a door")),
    "door_creak": Family(door_creak, ("door creak", "door wood creaks", "creak"), ("a door creaking", "a creaking door")),
    "keyboard": Family(keyboard, ("keyboard typing", "keyboard", "typing"), ("someone typing on a keyboard", "a keyboard")),
    "mouse_click": Family(mouse_click, ("mouse click", "mouse clicking"), ("a mouse click", "a computer mouse clicking")),
    "glass_breaking": Family(
        glass_breaking, ("glass breaking", "glass", "shatter"), ("glass breaking", "a glass shattering", "breaking glass")
    ),
    "church_bells": Family(
        church_bells, ("church bells", "bell", "church bell"), ("church bells ringing", "a church bell", "a bell ringing")
    ),
    "fireworks": Family(fireworks, ("fireworks", "firecracker", "explosion"), ("fireworks", "fireworks exploding", "a firecracker")),
    "gun_shot": Family(gun_shot, ("gun shot", "gunshot", "gunfire"), ("a gun shot", "a gunshot", "gunfire")),
    "can_opening": Family(can_opening, ("can opening", "opening can"), ("a can opening", "someone opening a can", "a can being opened")),
}
