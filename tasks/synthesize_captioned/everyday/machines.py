"""Engines, vehicles and tools: pulse trains of firing, blades and teeth, whines of motors, noise of air (Farnell 2010)."""

from __future__ import annotations

from functools import partial

import numpy as np

from core import dsp
from core.dsp import Signal
from tasks.synthesize_captioned.everyday.parts import (
    Family,
    band_noise,
    buzz,
    click,
    hump,
    place,
    random_curve,
    resonate,
    samples_of,
    scatter,
    starts,
    struck,
    tract,
)
from tasks.synthesize_captioned.words import Described, Rng, log_uniform, pick, word


def _passing(rng: Rng, times: Signal) -> tuple[Signal, Signal, str]:
    """Return a level [samples], a Doppler factor [samples] and words of a source that stays, comes, goes or passes."""
    kind = int(rng.integers(4))
    if kind == 0:
        return np.ones_like(times), np.ones_like(times), ""
    centre = (rng.uniform(0.3, 0.7), 1.1, -0.1)[kind - 1] * times[-1]
    distance = (times - centre) / (rng.uniform(0.4, 1.0) * times[-1])
    level = 1 / np.sqrt(0.15 + distance**2)
    words = (" passing by", " coming closer", " going away")[kind - 1]
    return level / level.max(), 1 - rng.uniform(0.01, 0.05) * np.tanh(3 * distance), words


def helicopter(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Blade slap at 8–28 per second, thumps below 400 Hz with wide-band slaps, blade-chopped noise and a turbine's whine."""
    blade, length = log_uniform(rng, 8, 28), len(times)
    level, doppler, words = _passing(rng, times)
    phase = np.cumsum(blade * doppler) / rate_hz
    sharp, chop = rng.uniform(2, 14), rng.uniform(0.4, 0.95)
    pulse = np.exp(-sharp * (phase % 1.0)) * np.minimum(1, (phase % 1.0) / 0.06)
    pulse = pulse * (1 + rng.uniform(0, 0.35) * np.sin(np.pi * phase * rng.integers(1, 3)))
    thump = band_noise(rng, length, rate_hz, 30, rng.uniform(120, 450), -2) + rng.uniform(0, 1) * buzz(blade * doppler, rate_hz, 0.7)
    slap = band_noise(rng, length, rate_hz, 150, rng.uniform(700, 3500), -2)
    air = band_noise(rng, length, rate_hz, 100, rng.uniform(1500, 6000), -3)
    whine = dsp.oscillator(log_uniform(rng, 500, 3500) * doppler, rate_hz, np.array([1, 0.3, 0.2]))
    engine = buzz(log_uniform(rng, 60, 180) * doppler, rate_hz, rng.uniform(0.6, 1.2))
    sound = (1 - chop + chop * pulse / pulse.max()) * (1.2 * thump + rng.uniform(0.2, 1) * slap) + rng.uniform(0.1, 0.5) * air
    sound += rng.uniform(0, 0.12) * whine + rng.uniform(0, 0.35) * engine
    return level * sound, f"{word(blade, (14,), ('slow', 'fast'))} thudding blades{words}"


def chainsaw(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A two-stroke buzz: idling at 35–60, revved to 90–220 firings per second, rich harmonics to 8 kHz, uneven strokes, chain noise."""
    idle, full, length = log_uniform(rng, 35, 70), log_uniform(rng, 90, 220), len(times)
    pattern = pick(rng, ("at full throttle", "revving up and down", "idling and revving"))
    if pattern == "at full throttle":
        gas = 0.85 + 0.15 * random_curve(rng, length, rate_hz, 2, -1, 1)
    else:
        gas = np.clip(random_curve(rng, length, rate_hz, rng.uniform(0.8, 2.5), -0.4, 1.4), 0, 1)
        gas = np.convolve(gas, np.ones(rate_hz // 8) / (rate_hz // 8), mode="same")
    firing = idle * (full / idle) ** gas * (1 + 0.02 * random_curve(rng, length, rate_hz, 25, -1, 1))
    strokes = buzz(firing, rate_hz, rng.uniform(0.1, 0.6)) + rng.uniform(0.1, 0.5) * buzz(firing / 2, rate_hz, 0.4)
    strokes *= 1 + 0.5 * random_curve(rng, length, rate_hz, 90, -1, 1)
    body = tract(rng, (350, 1100, 2400, 4500, 6500), rng.uniform(0.8, 1.3), 2.0, ceiling_hz=(1200, 6000))
    quiet = rng.uniform(0.05, 0.5)
    sound = resonate(strokes, rate_hz, body) * (quiet + (1 - quiet) * gas**1.5)
    gate = 0.4 + 0.6 * np.maximum(0, np.sin(2 * np.pi * np.cumsum(firing) / rate_hz))
    noise = band_noise(rng, length, rate_hz, rng.uniform(300, 1800), 9000, rng.uniform(-4, -1)) * (0.1 + gas**1.5) * gate
    level, _, words = _passing(rng, times)
    return level * (
        sound + rng.uniform(0.2, 0.9) * noise
    ), f"a harsh {word(full, (130,), ('growling', 'screaming'))} two-stroke engine {pattern}{words if words != ' passing by' else ''}"


def engine(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Four-stroke idling: 15–60 firings per second with half orders, exhaust resonances, rattle."""
    firing, length = log_uniform(rng, 15, 60), len(times)
    revs = pick(rng, ("idling", "idling unevenly", "revving"))
    curve = 1 + 0.02 * random_curve(rng, length, rate_hz, 3, -1, 1)
    if revs == "revving":
        curve = curve * (1 + rng.uniform(0.3, 1.2) * random_curve(rng, length, rate_hz, 1.2, 0, 1))
    pulses = buzz(firing * curve, rate_hz, rng.uniform(0.2, 0.8)) + rng.uniform(0.2, 0.8) * buzz(firing * curve / 4, rate_hz, 0.6)
    body = tract(rng, (90, 240, 700, 1800), rng.uniform(0.8, 1.4), 2.0)
    knock = scatter(rng, length, rate_hz, firing, [click(rng, rate_hz, 800, 4000, 0.01)])
    sound = (
        resonate(pulses, rate_hz, body)
        + rng.uniform(0.05, 0.4) * dsp.unit_rms(knock)
        + rng.uniform(0.05, 0.4) * band_noise(rng, length, rate_hz, 60, 2500, -4)
    )
    return sound, f"a {word(firing, (28,), ('deep chugging', 'humming'))} motor {revs}"


def airplane(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A jet's wide roar with a turbine's whine, or a propeller's drone at 60–130 Hz, passing slowly."""
    level, doppler, words = _passing(rng, times)
    length, jet = len(times), bool(rng.random() < 0.6)
    roar = band_noise(rng, length, rate_hz, 40, rng.uniform(400, 2500), -3) + 0.3 * band_noise(rng, length, rate_hz, 200, 6000, -3)
    roar *= 1 + 0.2 * random_curve(rng, length, rate_hz, 5, -1, 1)
    if jet:
        whine = dsp.oscillator(log_uniform(rng, 900, 3500) * doppler, rate_hz, np.array([1, 0.3]))
        return level * (roar + rng.uniform(0, 0.25) * whine), f"a roaring jet{words}"
    pitch = log_uniform(rng, 60, 130)
    drone = buzz(pitch * doppler, rate_hz, rng.uniform(0.5, 1.0)) + 0.6 * buzz(pitch * doppler * rng.uniform(1.005, 1.02), rate_hz, 0.8)
    return level * (drone + rng.uniform(0.2, 0.7) * roar), f"a droning propeller{words}"


def train(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Rumble, wheels over joints in pairs of clacks, sometimes a squeal or a horn of several tones."""
    level, _, words = _passing(rng, times)
    length, joints = len(times), log_uniform(rng, 0.7, 3)
    sound = band_noise(rng, length, rate_hz, 30, 500, -3) + rng.uniform(0.1, 0.5) * band_noise(rng, length, rate_hz, 400, 5000, -2)
    metal = rng.uniform(300, 1200) * np.array([1, 1.6, 2.7, 4.1])
    for start in np.arange(rng.uniform(0, 0.3), times[-1], 1 / joints):
        for offset in (0.0, 0.22 / joints, 0.5 / joints, 0.72 / joints):
            clack = struck(rate_hz, metal * rng.uniform(0.9, 1.1), np.array([0.08, 0.06, 0.05, 0.03]), np.array([1, 0.7, 0.5, 0.3]))
            place(sound, clack, start + offset, rate_hz, rng.uniform(0.6, 1.6))
            place(sound, click(rng, rate_hz, 60, 600, 0.12), start + offset, rate_hz, 2.0)
    extra = pick(rng, ("", "", " with a horn", " with squealing brakes"))
    if extra == " with a horn":
        tones = log_uniform(rng, 250, 420) * np.array([1, 1.19, 1.5])
        horn = sum((buzz(np.full(length, tone), rate_hz, 0.8) for tone in tones), np.zeros(length))
        gate = hump(samples_of(min(1.5, 0.6 * times[-1]), rate_hz), 0.08, 0.1)
        place(sound, horn[: len(gate)] * gate, rng.uniform(0, 0.3) * times[-1], rate_hz, 0.8)
    elif extra:
        squeal = dsp.oscillator(
            log_uniform(rng, 1500, 4000) * (1 + 0.02 * random_curve(rng, length, rate_hz, 8, -1, 1)), rate_hz, np.array([1, 0.4])
        )
        sound += rng.uniform(0.2, 0.7) * squeal * random_curve(rng, length, rate_hz, 2, 0, 1)
    return level * sound, f"wheels clattering over rails{extra}{words}"


def siren(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A wail (0.15–0.4 per second), a yelp (2–4 per second) or a two-tone horn, 400–1,700 Hz, with harmonics."""
    level, doppler, words = _passing(rng, times)
    kind = pick(rng, ("slow wailing", "fast yelping", "two-tone"))
    rate = {"slow wailing": rng.uniform(0.15, 0.45), "fast yelping": rng.uniform(1.8, 4.5), "two-tone": rng.uniform(0.5, 1.5)}[kind]
    turn = (rate * times + rng.random()) % 1.0
    low, ratio = rng.uniform(400, 800), rng.uniform(1.6, 2.4)
    if kind == "two-tone":
        pitch = low * np.where(turn < 0.5, 1.0, rng.uniform(1.2, 1.45))
        pitch = np.convolve(np.pad(pitch, 60, mode="edge"), np.ones(121) / 121, mode="valid")
    else:
        peak = rng.uniform(0.2, 0.6)
        pitch = low * ratio ** np.where(turn < peak, turn / peak, (1 - turn) / (1 - peak))
    harmonics = np.arange(1, 11, dtype=float) ** -rng.uniform(0.6, 2.0)
    sound = dsp.oscillator(pitch * doppler, rate_hz, harmonics)
    return level * sound, f"a loud {kind} tone{words}"


def car_horn(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Two reed tones at 330–520 Hz, a third apart, bright harmonics, in one to four blasts."""
    sound, base = np.zeros_like(times), log_uniform(rng, 330, 520)
    length_s = min(log_uniform(rng, 0.15, 1.5), 0.8 * times[-1])
    starts_at = np.arange(int(rng.integers(1, 5))) * length_s * rng.uniform(1.2, 1.8) + rng.uniform(0, 0.2)
    rolloff, ratio = rng.uniform(0.3, 1.0), rng.uniform(1.18, 1.27)
    number = 0
    for start in starts_at:
        if start < max(0.2, times[-1] - 0.1):
            flat = np.full(samples_of(length_s * rng.uniform(0.8, 1.1), rate_hz), base)
            tone = buzz(flat, rate_hz, rolloff) + rng.uniform(0.5, 1) * buzz(flat * ratio, rate_hz, rolloff)
            place(sound, tone * hump(len(flat), 0.05, 0.08), start, rate_hz)
            number += 1
    return (
        sound,
        f"{word(number, (1, 2), ('one', 'two', 'several'))} {word(length_s, (0.5,), ('short', 'long'))} blast{'s' if number > 1 else ''}",
    )


def vacuum_cleaner(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A motor's whine at 180–700 Hz with harmonics and a loud wide rush of air; the pitch sags as it moves over carpet."""
    length, pitch = len(times), log_uniform(rng, 180, 700)
    sag = 1 - rng.uniform(0, 0.08) * random_curve(rng, length, rate_hz, 1, 0, 1)
    motor = dsp.oscillator(pitch * sag, rate_hz, rng.uniform(0.1, 1, 9) / np.sqrt(np.arange(1, 10)))
    air = band_noise(rng, length, rate_hz, rng.uniform(150, 500), rng.uniform(3000, 8000), rng.uniform(-3, 0))
    air *= 1 + 0.2 * random_curve(rng, length, rate_hz, 2, -1, 1)
    whine = rng.uniform(0.15, 0.9)
    return air + whine * dsp.unit_rms(motor), f"a steady {word(whine, (0.5,), ('rush of air', 'whining motor and rush of air'))}"


def washing_machine(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Tumbling: a hum, water that sloshes once per turn and thumps of laundry; or a spin whose pitch climbs."""
    length, spin = len(times), bool(rng.random() < 0.4)
    hum = dsp.oscillator(np.full(length, rng.choice((50.0, 60.0, 100.0, 120.0))), rate_hz, np.array([1, 0.7, 0.4, 0.3, 0.2]))
    if spin:
        climb = np.linspace(1, rng.uniform(1.0, 1.6), length) * log_uniform(rng, 120, 400)
        drum = buzz(climb, rate_hz, 1.0) + 0.8 * (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(6, 18) * times)) * band_noise(
            rng, length, rate_hz, 60, 1500, -3
        )
        return drum + 0.5 * hum, "a drum spinning at high speed"
    turn = rng.uniform(0.6, 1.4)
    slosh = np.maximum(0, np.sin(2 * np.pi * turn * times + rng.uniform(0, 6.28))) ** 2
    sound = 0.5 * hum + slosh * band_noise(rng, length, rate_hz, 300, 4000, -2) + 0.3 * band_noise(rng, length, rate_hz, 50, 800, -3)
    for start in starts(rng, times[-1], turn, 0.1):
        place(sound, click(rng, rate_hz, 50, 400, 0.2), start, rate_hz, rng.uniform(1, 3))
    return sound, "laundry tumbling and water sloshing over a hum"


def hand_saw(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """Strokes forth and back, 1–3.5 per second: noise of 800–6,000 Hz chopped by 80–350 teeth per second."""
    rate, teeth = rng.uniform(1.0, 3.5), rng.uniform(80, 350)
    phase = np.cumsum(rate * (1 + 0.06 * random_curve(rng, len(times), rate_hz, 3, -1, 1))) / rate_hz
    speed = np.abs(np.sin(np.pi * phase)) ** 1.2
    forth = (phase % 2) < 1
    rasp = 1 + 0.9 * np.sin(2 * np.pi * np.cumsum(teeth * (0.3 + speed)) / rate_hz)
    cut = band_noise(rng, len(times), rate_hz, 900, 6500, -1) * forth + band_noise(rng, len(times), rate_hz, 500, 4000, -1) * ~forth * 0.7
    board = dsp.unit_rms(dsp.band_pass(cut * rasp * speed, rate_hz, 180, 600))
    return dsp.unit_rms(cut * rasp * speed) + rng.uniform(
        0.1, 0.5
    ) * board, f"{word(rate, (2,), ('slow', 'quick'))} rasping strokes through wood"


def drilling(rng: Rng, times: Signal, rate_hz: int, hammer: bool = False) -> Described:
    """A drill's motor and gears, 200–900 Hz with a loaded sag; hammer drills and jackhammers beat 12–45 times per second."""
    length = len(times)
    load = random_curve(rng, length, rate_hz, 1.5, 0, 1)
    motor = buzz(log_uniform(rng, 200, 900) * (1 - 0.2 * load), rate_hz, rng.uniform(0.3, 0.9))
    noise = band_noise(rng, length, rate_hz, 700, 8000, -1) * (0.3 + load)
    if not hammer:
        return motor + rng.uniform(0.3, 0.9) * noise, "a whining motor under load"
    beats, hit = log_uniform(rng, 12, 45), np.zeros(length)
    body = struck(
        rate_hz, rng.uniform(150, 500) * np.array([1, 2.3, 4.4, 7.1]), np.array([0.05, 0.04, 0.03, 0.02]), np.array([1, 0.8, 0.6, 0.5])
    )
    for start in starts(rng, times[-1], beats, 0.02):
        place(hit, body, start, rate_hz, rng.uniform(0.7, 1.1))
        place(hit, click(rng, rate_hz, 800, 7000, 0.02), start, rate_hz, rng.uniform(0.5, 1))
    return dsp.unit_rms(hit) + 0.3 * motor + 0.3 * noise, f"{word(beats, (25,), ('pounding', 'rattling'))} hammer blows into concrete"


def air_conditioner(rng: Rng, times: Signal, rate_hz: int) -> Described:
    """A fan: hum of the mains and of the blades under a steady rush of air, sometimes a rattle."""
    length, rattle = len(times), bool(rng.random() < 0.3)
    hum = dsp.oscillator(np.full(length, rng.choice((50.0, 60.0, 100.0, 120.0))), rate_hz, np.array([1, 0.8, 0.5, 0.4, 0.2, 0.2]))
    blades = dsp.oscillator(np.full(length, log_uniform(rng, 60, 300)), rate_hz, np.array([1, 0.5, 0.3]))
    sound = band_noise(rng, length, rate_hz, 60, rng.uniform(500, 3000), -3) + rng.uniform(0.1, 0.6) * hum + rng.uniform(0, 0.4) * blades
    if rattle:
        for start in starts(rng, times[-1], rng.uniform(8, 20), 0.1):
            place(sound, click(rng, rate_hz, 1000, 4000, 0.02), start, rate_hz, rng.uniform(0.2, 0.8))
    return sound, f"a steady hum and soft rush of air{' with a rattle' if rattle else ''}"


FAMILIES: dict[str, Family] = {
    "helicopter": Family(
        helicopter, ("helicopter", "helicopter flying", "rotor"), ("a helicopter flying", "a helicopter", "a helicopter overhead")
    ),
    "chainsaw": Family(
        chainsaw, ("chainsaw", "chain saw", "chainsaw running"), ("a chainsaw running", "a chainsaw", "a chainsaw cutting wood")
    ),
    "engine": Family(engine, ("engine", "engine idling", "motor"), ("an engine running", "a car engine idling", "an engine")),
    "airplane": Family(airplane, ("airplane", "aircraft", "jet"), ("an airplane flying", "an airplane", "an aircraft overhead")),
    "train": Family(train, ("train", "railway", "train passing"), ("a train", "a train passing", "a railway train")),
    "siren": Family(siren, ("siren", "police siren", "ambulance siren"), ("a siren", "an ambulance siren", "a police siren")),
    "car_horn": Family(car_horn, ("car horn", "honking", "vehicle horn"), ("a car horn", "a car honking its horn", "a car horn honking")),
    "vacuum_cleaner": Family(vacuum_cleaner, ("vacuum cleaner", "vacuum"), ("a vacuum cleaner", "a vacuum cleaner running")),
    "washing_machine": Family(washing_machine, ("washing machine",), ("a washing machine", "a washing machine running")),
    "hand_saw": Family(hand_saw, ("hand saw", "sawing", "saw"), ("a hand saw cutting wood", "someone sawing wood", "a hand saw")),
    "drilling": Family(drilling, ("drilling", "drill"), ("a drill", "drilling", "someone drilling")),
    "jackhammer": Family(partial(drilling, hammer=True), ("jackhammer", "hammer drill"), ("a jackhammer", "a jackhammer at work")),
    "air_conditioner": Family(air_conditioner, ("air conditioner", "fan", "ventilation"), ("an air conditioner", "a fan running")),
}
