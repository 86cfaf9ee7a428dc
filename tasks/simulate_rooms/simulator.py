"""Responses of shoebox rooms by pyroomacoustics' image sources, received at one point by an omni and three figures of eight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyroomacoustics as pra
from pyroomacoustics.directivities import CardioidFamily, FigureEight
from scipy import fft, signal

from tasks.simulate_rooms import decay

Array = npt.NDArray[Any]
DELAY = 40
"""Samples by which pyroomacoustics' windowed sincs (81 taps) delay everything."""
FADE_S = 0.01
"""Cross-fade from image sources to tail."""
DEPTH_DB = 60.0
"""A response ends when its expected energy has fallen this far."""
HIGH_PASS_HZ = 20.0
"""Of responses: below is no sound."""
MIXINGS = 2.0
"""Mixing times that image sources reach at least."""
COMPAT_ORDER, COMPAT_RADIUS_M = 10, 0.05
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5


@dataclass(frozen=True)
class Scene:
    """One source and one receiver in a room."""

    dims_m: tuple[float, float, float]
    """Length, width, height."""
    alphas: tuple[float, ...]
    """Absorption, one or by octave band."""
    source_m: tuple[float, float, float]
    """From the corner at the origin."""
    receiver_m: tuple[float, float, float]
    """From the same corner."""


@dataclass(frozen=True)
class Engine:
    """How scenes are simulated."""

    rate_hz: int
    """Sample rate."""
    air_absorption: bool = False
    """By the air, by band."""
    tail: str = "isotropic"
    """``isotropic``, ``specular`` or ``none``."""
    max_images: int = 60_000
    """Over all bands."""
    max_length_s: float = 3.0
    """Longest response."""
    tetrahedron: bool = False
    """Four spaced cardioids and image order 10, no high-pass: DISSE's way."""


@dataclass(frozen=True)
class Response:
    """One simulated response."""

    samples: npt.NDArray[np.float32]
    """[4, samples]: W, Y, Z, X, or the four cardioids."""
    order: int
    """Image order."""
    images: int
    """Image sources summed, by their number in one channel."""
    crossover_s: float
    """When the tail takes over; the length where there is none."""


@cache
def bands(rate_hz: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the centre frequencies of pyroomacoustics' octave bands and the share of the spectrum that each is."""
    centres = np.asarray(_room((3.0, 3.0, 3.0), (0.5,), rate_hz, 0, False).octave_bands.centers, float)
    edges = np.concatenate([[0.0], np.sqrt(centres[1:] * centres[:-1]), [rate_hz / 2]])
    return tuple(centres), tuple(np.diff(edges) / (rate_hz / 2))


@cache
def air_per_m(rate_hz: int) -> tuple[float, ...]:
    """Return the air's absorption of power per metre by octave band."""
    centres = bands(rate_hz)[0]
    room = _room((3.0, 3.0, 3.0), (0.5,) * len(centres), rate_hz, 0, True)
    return tuple(float(value) for value in room.air_absorption)


def medium(engine: Engine, count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return air absorption and share of the spectrum of ``count`` bands: one, or all octaves."""
    widths = (1.0,) if count == 1 else bands(engine.rate_hz)[1]
    return (air_per_m(engine.rate_hz) if engine.air_absorption else (0.0,) * count), widths


def image_count(order: int) -> int:
    """Return how many image sources a shoebox has up to an order, the source included."""
    return (2 * order + 1) * (2 * order**2 + 2 * order + 3) // 3


def _per_second(dims_m: Sequence[float]) -> float:
    """Return the most walls that sound can meet in a second: along the direction (1/L₁, 1/L₂, 1/L₃)."""
    return decay.SPEED_M_S * float(np.sqrt((1 / np.square(dims_m)).sum()))


def order_until(dims_m: Sequence[float], time_s: float) -> int:
    """Return the order by which all image sources that are heard before a time are there: one more wall may be met at either end."""
    return int(np.ceil(time_s * _per_second(dims_m))) + 2


def complete_until(dims_m: Sequence[float], order: int) -> float:
    """Return until when all image sources are there, in seconds."""
    return max(0.0, (order - 2) / _per_second(dims_m))


def order_of(scene: Scene, engine: Engine, end_s: float) -> int:
    """Return the image order: until the end where that is affordable, at least to twice the mixing time."""
    order = order_until(scene.dims_m, end_s)
    while order > 1 and image_count(order) * len(scene.alphas) > engine.max_images:
        order -= 1
    return max(order, order_until(scene.dims_m, min(end_s, MIXINGS * decay.mixing_time_s(scene.dims_m) + FADE_S)))


def simulate(scene: Scene, engine: Engine, rng: np.random.Generator) -> Response:
    """Simulate one response; ``rng`` draws its tail."""
    if engine.tetrahedron:
        samples, images = image_sources(scene, engine, COMPAT_ORDER, np.inf)
        return Response(samples.astype(np.float32), COMPAT_ORDER, images, samples.shape[1] / engine.rate_hz)
    air, widths = medium(engine, len(scene.alphas))
    arrival = float(np.linalg.norm(np.subtract(scene.source_m, scene.receiver_m))) / decay.SPEED_M_S
    end = min(engine.max_length_s, max(decay.time_to(scene.dims_m, scene.alphas, air, widths, DEPTH_DB), arrival + 2 * FADE_S))
    order = order_of(scene, engine, end)
    crossover = min(end, max(complete_until(scene.dims_m, order), arrival + 2 * FADE_S))
    length = DELAY + round(end * engine.rate_hz)
    found, images = image_sources(scene, engine, order, crossover)
    samples = np.zeros((4, length))
    kept = min(length, found.shape[1])
    samples[:, :kept] = found[:, :kept]
    _fade(samples, DELAY + round(crossover * engine.rate_hz), round(FADE_S * engine.rate_hz))
    if crossover < end and engine.tail != "none":
        samples += tail(scene, engine, crossover, length, rng)
    return Response(samples.astype(np.float32), order, images, crossover)


def _fade(samples: Array, stop: int, fade: int) -> None:
    """Fade out with a quarter cosine that ends at ``stop``, in place."""
    stop = min(stop, samples.shape[1])
    samples[:, stop:] = 0
    samples[:, stop - fade : stop] *= np.cos(np.linspace(0, np.pi / 2, fade))


def direct_sound(scene: Scene, engine: Engine) -> Array:
    """Return the direct sound alone [4, samples], received the same way."""
    return image_sources(scene, engine, 0, np.inf)[0]


def image_sources(scene: Scene, engine: Engine, order: int, until_s: float) -> tuple[Array, int]:
    """Return what the image sources up to an order bring to the four channels until a time [4, samples], and how many they are."""
    pra.constants.set("rir_hpf_enable", False)
    pra.constants.set("num_threads", 1)
    room = _room(scene.dims_m, scene.alphas, engine.rate_hz, order, engine.air_absorption)
    room.add_source(list(scene.source_m))
    centre = np.array(scene.receiver_m)
    if engine.tetrahedron:
        for direction in TETRAHEDRON:
            room.add_microphone(centre + COMPAT_RADIUS_M * direction, directivity=CardioidFamily(orientation=direction, p=0.5))
    else:  # four at one point: exact AmbiX at every frequency
        room.add_microphone(centre)
        for axis in (1, 2, 0):
            room.add_microphone(centre, directivity=FigureEight(orientation=np.eye(3)[axis]))
    room.image_source_model()
    distances = np.linalg.norm(room.sources[0].images - centre[:, None], axis=0)
    heard = distances <= decay.SPEED_M_S * until_s
    room.visibility[0] = room.visibility[0].astype(bool) & heard
    room.compute_rir()
    parts = [channel[0] for channel in room.rir]
    samples = np.zeros((4, max(len(part) for part in parts)))
    for channel, part in enumerate(parts):
        samples[channel, : len(part)] = part
    return samples if engine.tetrahedron else signal.sosfilt(_high_pass(engine.rate_hz), samples), int(heard.sum())


@cache
def _high_pass(rate_hz: int) -> Array:
    """Return a causal high-pass: image sources, all positive, pile up at 0 Hz in W and would be taken for reverberation.

    pyroomacoustics' own runs forwards and backwards, so that a response begins before its direct sound and has a step at its end, which
    lengthens T30 (883 ms instead of 753 in a small room, 783 expected).
    """
    return np.asarray(signal.butter(2, HIGH_PASS_HZ, "highpass", fs=rate_hz, output="sos"))


def _room(dims_m: Sequence[float], alphas: Sequence[float], rate_hz: int, order: int, air_absorption: bool) -> Any:
    if len(alphas) == 1:
        material = pra.Material(alphas[0])
    else:
        material = pra.Material({"coeffs": list(alphas), "center_freqs": list(bands(rate_hz)[0])})
    return pra.ShoeBox(list(dims_m), fs=rate_hz, materials=material, max_order=order, air_absorption=air_absorption)


def tail(scene: Scene, engine: Engine, crossover_s: float, length: int, rng: np.random.Generator) -> Array:
    """Return noise [4, length] with the expected power of the image sources that are heard after a time, faded in before it."""
    fade = round(FADE_S * engine.rate_hz)
    start = DELAY + round(crossover_s * engine.rate_hz) - fade
    count = length - start
    air, _ = medium(engine, len(scene.alphas))
    coarse = np.linspace(start - DELAY, length - DELAY, 128) / engine.rate_hz
    expected = decay.power(scene.dims_m, scene.alphas, air, coarse) / engine.rate_hz
    if engine.tail == "isotropic":
        expected[:, 1:] = expected[:, :1] / 3
    places = np.linspace(0, 127, count)
    noise = np.zeros((4, count))
    fast = fft.next_fast_len(count, real=True)
    for band, weight in enumerate(_band_gains(engine, len(scene.alphas), fast)):
        white = rng.standard_normal((4, fast))
        part = (white if len(scene.alphas) == 1 else fft.irfft(fft.rfft(white) * weight, fast))[:, :count]
        for channel in range(4):
            noise[channel] += part[channel] * np.exp(0.5 * np.interp(places, np.arange(128), np.log(expected[band, channel] + 1e-300)))
    noise[:, :fade] *= np.sin(np.linspace(0, np.pi / 2, fade))
    return np.pad(noise, ((0, 0), (start, 0)))


def _band_gains(engine: Engine, count: int, length: int) -> Array:
    """Return gains [bands, bins] whose squares sum to 1 in every bin: straight lines of power in octaves, from centre to centre."""
    if count == 1:
        return np.ones((1, length // 2 + 1))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(length, 1 / engine.rate_hz), 1.0))
    centres = np.log2(bands(engine.rate_hz)[0])
    return np.sqrt(np.stack([np.interp(octaves, centres, row) for row in np.eye(count)]))
