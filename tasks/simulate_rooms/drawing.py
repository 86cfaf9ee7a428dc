"""Draws rooms and positions: evenly, or for a tuple of words, from values that have the wanted words."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.simulate_rooms import decay, simulator
from tasks.simulate_rooms.simulator import Engine, Scene
from tasks.simulate_rooms.spec import Ranges, Settings, Split
from tasks.spatial import foa, words
from tasks.spatial.words import Descriptors, Wording

Array = npt.NDArray[Any]
SPLITS = ("train", "val", "test")
SHARED = len(SPLITS)
"""Stands for all splits where DISSE's pool of rooms is drawn."""
ROOM, PLACE, NOISE = range(3)
"""What a stream of random numbers is for."""
AT_ONCE = 512
"""Positions drawn at once; the first that fits is taken."""
AREA_CELL_M2, T30_CELL_MS = 0.1, 1.0
"""Cells in which values for a word are looked for."""


@dataclass(frozen=True)
class Item:
    """One response that is wanted."""

    split: str
    """train, val or test."""
    number: int
    """Within the split."""
    wanted: Descriptors | None = None
    """Its words; None if they may be any."""
    ranges: Ranges = field(default_factory=Ranges)
    """What it is drawn from."""


@dataclass(frozen=True)
class Room:
    """A room without anybody in it."""

    dims_m: tuple[float, float, float]
    """Length, width, height."""
    alphas: tuple[float, ...]
    """Absorption, one or by octave band."""
    t30_nominal_ms: float
    """What was aimed at."""

    @property
    def area_m2(self) -> float:
        """Floor area."""
        return self.dims_m[0] * self.dims_m[1]

    @property
    def room_id(self) -> str:
        """Eight hex digits of what it is."""
        text = json.dumps([list(map(float, self.dims_m)), list(map(float, self.alphas))])
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Draw:
    """A room, a receiver and a source."""

    room: Room
    """The room."""
    scene: Scene
    """What is simulated."""
    distance_m: float
    """Of the source from the receiver."""
    azimuth_deg: float
    """Of the source, relative to where the receiver looks; positive is left."""
    elevation_deg: float
    """Of the source."""
    yaw_deg: float
    """Where the receiver looks."""


def items(settings: Settings) -> list[Item]:
    """Return everything that is wanted, split by split."""
    found: list[Item] = []
    for name in SPLITS:
        split: Split = getattr(settings, name)
        if split.sampling == "random":
            ranges = settings.test_ranges if name == "test" else settings.ranges
            found += [Item(name, number, None, ranges) for number in range(split.count)]
        else:
            tuples = words.full_tuples() if split.sampling == "quota_full" else words.all_tuples()
            wanted = [descriptors for descriptors in tuples for _ in range(split.count)]
            found += [Item(name, number, one, settings.ranges) for number, one in enumerate(wanted)]
    return found


def stream(settings: Settings, purpose: int, split: str, number: int, attempt: int = 0) -> np.random.Generator:
    """Return the random numbers of one purpose of one response's attempt."""
    return np.random.default_rng([settings.seed, purpose, SPLITS.index(split) if split else SHARED, number, attempt])


def wording_of(settings: Settings) -> Wording:
    """Return how responses are put into words: by their measured T30, as AmbiX, or DISSE's way."""
    return words.DISSE if settings.disse_compat else Wording()


def engine_of(settings: Settings) -> Engine:
    """Return how responses are simulated."""
    return Engine(
        settings.sample_rate_hz, settings.air_absorption, settings.tail, settings.max_images, settings.max_length_s, settings.disse_compat
    )


def draw(settings: Settings, item: Item, attempt: int) -> Draw | None:
    """Draw a room and a position; None when no position fits in this room, or its words are out of reach.

    Args:
        settings: after ``spec.effective``.
        item: what is wanted.
        attempt: counts from 0; gives other numbers each time.
    """
    rng = stream(settings, PLACE, item.split, item.number, attempt)
    if settings.pool_rooms and item.wanted is None:
        room = _pool_room(settings, item, rng)
    else:
        room = draw_room(settings, item.ranges, stream(settings, ROOM, item.split, item.number, attempt), item.wanted)
    return None if room is None else place(settings, item, room, rng)


def _pool_room(settings: Settings, item: Item, rng: np.random.Generator) -> Room | None:
    """Return a room of the pool; DISSE's test rooms are those of its pool that lie in the test ranges."""
    pool = "" if settings.disse_compat else item.split
    ranges = settings.ranges if settings.disse_compat else item.ranges
    for number in rng.integers(settings.pool_rooms, size=100):
        # A stream apart from that of rooms which one response has for itself.
        room = draw_room(settings, ranges, stream(settings, ROOM, pool, int(number), settings.attempts), None)
        if room is not None and _within(room.area_m2, item.ranges.area_m2) and _within(room.t30_nominal_ms, item.ranges.t30_ms):
            return room
    return None


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


def draw_room(settings: Settings, ranges: Ranges, rng: np.random.Generator, wanted: Descriptors | None) -> Room | None:
    """Draw size, shape and reverberation time; None where the ranges hold none of the wanted words."""
    area = _value(rng, ranges.area_m2, AREA_CELL_M2, words.size_word, wanted and wanted.size)
    t30_ms = _value(rng, ranges.t30_ms, T30_CELL_MS, words.reverb_word, wanted and wanted.reverb)
    aspect, height = rng.uniform(*settings.aspect), rng.uniform(*settings.height_m)
    slope = rng.uniform(*settings.band_slope)
    if area is None or t30_ms is None:
        return None
    length = float(np.sqrt(area * aspect))
    dims = (length, area / length, float(height))
    return Room(dims, absorption(settings, dims, t30_ms / 1000, slope), t30_ms)


def absorption(settings: Settings, dims_m: tuple[float, float, float], t30_s: float, slope: float) -> tuple[float, ...]:
    """Return the absorption, one or by octave band, for a reverberation time."""
    low, high = settings.absorption_limits
    centres = (1000.0,) if settings.materials == "flat" else simulator.bands(settings.sample_rate_hz)[0]
    shape = (np.array(centres) / 1000) ** slope
    if settings.absorption == "sabine":
        found = np.clip(shape * decay.sabine_absorption(dims_m, t30_s), low, high)
    else:
        air, widths = simulator.medium(engine_of(settings), len(shape))
        found = decay.matched_absorption(dims_m, shape, air, widths, t30_s, (low, high))
    return tuple(float(value) for value in found)


def _value(
    rng: np.random.Generator, bounds: tuple[float, float], cell: float, word: Callable[[float], str], wanted: str | None
) -> float | None:
    """Return a number between two bounds, evenly among those that have the wanted word; None if none has it."""
    drawn, place = rng.uniform(size=2)
    if wanted is None:
        return float(bounds[0] + place * (bounds[1] - bounds[0]))
    edges = np.linspace(*bounds, max(2, round((bounds[1] - bounds[0]) / cell) + 1))
    fitting = [low for low, high in itertools.pairwise(edges) if word(low) == wanted == word(high)]
    return float(fitting[int(drawn * len(fitting))] + place * (edges[1] - edges[0])) if fitting else None


def place(settings: Settings, item: Item, room: Room, rng: np.random.Generator) -> Draw | None:
    """Draw where receiver and source are; the source keeps clear of the walls and to the cells of its split."""
    dims, wanted, ranges = np.array(room.dims_m), item.wanted, item.ranges
    centimetres = np.arange(np.ceil(ranges.distance_m[0] * 100 - 1e-9), np.floor(ranges.distance_m[1] * 100 + 1e-9) + 1)
    distances = _picked(rng, centimetres / 100, words.distance_word, wanted and wanted.distance)
    azimuths = _picked(
        rng, np.arange(-180.0, 180.0), lambda one: words.direction_word(one, wording_of(settings).azimuth_sign), wanted and wanted.direction
    )
    degrees = np.arange(np.ceil(ranges.elevation_deg[0]), np.floor(ranges.elevation_deg[1]) + 1)
    elevations = _picked(rng, degrees, words.elevation_word, wanted and wanted.elevation)
    receivers = _receivers(settings, dims, rng)
    yaws = rng.integers(-180, 180, AT_ONCE).astype(float) if settings.turned else np.zeros(AT_ONCE)
    if distances is None or azimuths is None or elevations is None or receivers is None:
        return None
    sources = receivers + distances[:, None] * foa.unit_vector(azimuths + yaws, elevations)
    clear = ((sources >= settings.wall_margin_m) & (sources <= dims - settings.wall_margin_m)).all(axis=1)
    fits = np.flatnonzero(clear & (cell_class(settings, distances, azimuths, elevations) == cell_of(settings, item.split)))
    if not len(fits):
        return None
    one = int(fits[0])
    source, receiver = (tuple(float(value) for value in points[one]) for points in (sources, receivers))
    scene = Scene(room.dims_m, room.alphas, source, receiver)  # type: ignore[arg-type]
    return Draw(room, scene, float(distances[one]), float(azimuths[one]), float(elevations[one]), float(yaws[one]))


def _picked(rng: np.random.Generator, values: Array, word: Callable[[float], str], wanted: str | None) -> Array | None:
    """Return values [AT_ONCE] drawn from those that have the wanted word."""
    drawn = rng.uniform(size=AT_ONCE)
    fitting = values if wanted is None else np.array([value for value in values.tolist() if word(value) == wanted])
    return fitting[(drawn * len(fitting)).astype(int)] if len(fitting) else None


def _receivers(settings: Settings, dims: Array, rng: np.random.Generator) -> Array | None:
    """Return places of the receiver [AT_ONCE, 3]; None in a room that is too small for one."""
    drawn = rng.uniform(size=(AT_ONCE, 3))
    if settings.receiver == "centre":
        places = np.tile(dims / 2, (AT_ONCE, 1))
    else:
        margin = settings.receiver_margin_m
        if (dims <= 2 * margin).any():
            return None
        places = margin + drawn * (dims - 2 * margin)
    if settings.receiver_height_m:
        places[:, 2] = settings.receiver_height_m
    return places if settings.receiver_height_m < dims[2] else None


def cell_class(settings: Settings, distances: Array, azimuths: Array, elevations: Array) -> Array:
    """Return which of three classes (in DISSE: two) a position's cell of 1 cm, 1° and 1° is in: no position is in two splits."""
    total = np.rint(distances * 100) + np.rint(azimuths) + np.rint(elevations)
    return np.asarray(total % (2 if settings.disse_compat else 3)).astype(int)


def cell_of(settings: Settings, split: str) -> int:
    """Return the class of cells that a split's positions are from; DISSE's are even for training and validation, odd for testing."""
    return int(split == "test") if settings.disse_compat else SPLITS.index(split)
