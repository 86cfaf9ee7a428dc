"""Simulate rooms: draw shoeboxes and positions, simulate first-order Ambisonics responses, measure them, check them, list them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError

# The catalogue says how many seconds each response took.
STAGE = Stage(
    name="simulate_rooms", environment="rooms", version=1, memory_mb=1500, time_limit_s=12 * 3600, deterministic=False, sharded=True
)  # fmt: skip
PARITY_POOL = 8952
"""Rooms of DISSE's pool."""


@dataclass(frozen=True)
class Ranges:
    """What is drawn from evenly; ELSA's Table A.T.2 for training and validation."""

    area_m2: tuple[float, float] = (13.3, 277.4)
    """Floor area."""
    elevation_deg: tuple[float, float] = (-47.5, 48.7)
    """Elevation of the source; whole degrees are drawn."""
    distance_m: tuple[float, float] = (0.5, 4.0)
    """Distance of the source; whole centimetres are drawn."""
    t30_ms: tuple[float, float] = (144.5, 2671.9)
    """Reverberation time aimed at."""


@dataclass(frozen=True)
class Split:
    """How many responses of a split, and which."""

    sampling: Literal["random", "quota_full", "quota_all"] = "random"
    """``random``: as they fall. ``quota_full``: as many for each of the 96 tuples of words that say something of everything.
    ``quota_all``: as many for each of the 405 tuples, blanks included."""
    count: int = 0
    """Responses; of a quota, responses for each tuple."""


@dataclass(frozen=True)
class Settings:
    """What to simulate. A response hangs on ``seed``, its split and its number only."""

    train: Split = Split("random", 1000)
    """Responses to train on."""
    val: Split = Split("quota_full", 1)
    """Responses to validate on."""
    test: Split = Split("quota_full", 1)
    """Responses to test on."""
    ranges: Ranges = Ranges()
    """Of training, of validation, and of every quota, since not all tuples lie in the test ranges."""
    test_ranges: Ranges = Ranges((14.3, 277.4), (-29.8, 42.4), (0.9, 4.0), (167.8, 1254.8))
    """Of test responses that are drawn at random; ELSA's."""
    aspect: tuple[float, float] = (1.0, 2.5)
    """Length over width."""
    height_m: tuple[float, float] = (3.0, 3.0)
    """Height of the rooms; published sets have 3 m always."""
    pool_rooms: int = 0
    """Rooms of each split, among which responses are drawn; 0: every response has a room of its own, as those of a quota always have."""
    receiver: Literal["centre", "free"] = "centre"
    """The receiver stands in the middle, at half the height, or anywhere at least ``receiver_margin_m`` from walls, floor and ceiling."""
    receiver_margin_m: float = 0.5
    """Least distance of a free receiver from walls."""
    receiver_height_m: float = 0.0
    """Height of the receiver above the floor; 0: half the height, or, of a free one, drawn."""
    turned: bool = False
    """The receiver looks anywhere in the horizontal plane, in whole degrees, instead of along +x; azimuths are relative to its front."""
    wall_margin_m: float = 0.1
    """Least distance of the source from walls."""
    absorption: Literal["matched", "sabine"] = "matched"
    """How the absorption follows from the reverberation time aimed at: such that the expected decay of the room's image sources has it,
    or by Sabine's formula, which is up to twice off in flat rooms."""
    absorption_limits: tuple[float, float] = (0.05, 0.95)
    """Bounds of the absorption coefficient."""
    materials: Literal["flat", "octaves"] = "flat"
    """The same absorption at all frequencies, or one by octave bands that rises or falls by a slope drawn for each room; four to eight
    times the work for the same order."""
    band_slope: tuple[float, float] = (-0.1, 0.3)
    """With ``octaves``, α(f) ∝ f^slope, even in this range."""
    air_absorption: bool = False
    """Absorption by the air, at 20 °C and 50 % humidity; needs ``octaves``."""
    tail: Literal["isotropic", "specular", "none"] = "isotropic"
    """What follows the image sources: seeded noise with the expected power of the image sources left out, in the dipoles a third of the
    omnidirectional one's (a diffuse field), or as much as those images would bring from each axis. ``none`` ends the response there."""
    max_images: int = 60_000
    """Most image sources of one response, over all octave bands; they always reach twice the mixing time."""
    max_length_s: float = 3.0
    """Longest response."""
    sample_rate_hz: int = 48_000
    """Sample rate of the responses; 16000 suffices for intensity vectors and costs a third."""
    attempts: int = 400
    """Draws before a response is reported as unreachable."""
    gain_tolerance: float = 1e-3
    """Largest error of a direct sound's dipole gains; the stage fails above it."""
    seed: int = 42
    """Of everything."""
    disse_compat: bool = False
    """As DISSE made its responses: four cardioids 5 cm from the centre, image order 10, no high-pass, 16 bit with clipping, T30 as aimed at
    by Sabine, one pool of rooms for all splits whose positions differ by parity. Overrides the settings that speak of this."""

    def __post_init__(self) -> None:
        where = "simulate_rooms"
        for name, low, high in (
            ("aspect", 1.0, 20.0), ("height_m", 1.5, 50.0), ("absorption_limits", 0.001, 0.999), ("band_slope", -2.0, 2.0),
        ):  # fmt: skip
            _check_pair(f"{where}.{name}", getattr(self, name), low, high)
        for name in ("ranges", "test_ranges"):
            found = getattr(self, name)
            _check_pair(f"{where}.{name}.area_m2", found.area_m2, 2.0, 100_000.0)
            _check_pair(f"{where}.{name}.elevation_deg", found.elevation_deg, -90.0, 90.0)
            _check_pair(f"{where}.{name}.distance_m", found.distance_m, 0.1, 100.0)
            _check_pair(f"{where}.{name}.t30_ms", found.t30_ms, 20.0, 20_000.0)
        for name in ("train", "val", "test"):
            check_range(f"{where}.{name}.count", getattr(self, name).count, 0, 10_000_000)
        for name, low, high in (
            ("pool_rooms", 0, 10_000_000), ("receiver_margin_m", 0.0, 5.0), ("receiver_height_m", 0.0, 50.0), ("wall_margin_m", 0.01, 1.0),
            ("max_images", 100, 20_000_000), ("max_length_s", 0.05, 30.0), ("sample_rate_hz", 8000, 192_000), ("attempts", 1, 10_000),
            ("gain_tolerance", 1e-6, 1.0),
        ):  # fmt: skip
            check_range(f"{where}.{name}", getattr(self, name), low, high)
        if self.air_absorption and self.materials != "octaves":
            raise InvalidValueError(
                "air absorbs by frequency", where=f"{where}.air_absorption", allowed="with materials=octaves", received=self.materials
            )


def _check_pair(where: str, pair: tuple[float, float], low: float, high: float) -> None:
    check_range(f"{where}[0]", pair[0], low, high)
    check_range(f"{where}[1]", pair[1], pair[0], high)


def effective(settings: Settings) -> Settings:
    """Return the settings with what ``disse_compat`` overrides."""
    if not settings.disse_compat:
        return settings
    return dataclasses.replace(
        settings, absorption="sabine", materials="flat", air_absorption=False, tail="none", receiver="centre", receiver_height_m=0.0,
        turned=False, pool_rooms=settings.pool_rooms or PARITY_POOL,
    )  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One catalogue."""

    settings: Settings = field(default_factory=Settings)
    """What to simulate."""
    geometry: str = external_path(default="")
    """A CSV whose rooms and positions are simulated instead of drawn ones, in the form of DISSE's ``rir_fixed.csv``: columns dims,
    alpha, source_pos_xyz, azimuth_deg, elevation_deg, source_distance_m, fullband_T30_ms, split; ``settings`` says the rest."""
    shards: int = 8
    """Parts that are recorded and resumed one by one."""

    def __post_init__(self) -> None:
        check_range("simulate_rooms.shards", self.shards, 1, 100_000)


@dataclass(frozen=True)
class Result:
    """What was made."""

    responses: int
    """Responses in the catalogue."""
    rooms: int
    """Different rooms."""
    unreachable: int
    """Responses that no draw gave; ``catalogue.json`` names their words."""
    redrawn: int
    """Draws that were thrown away, since their measured words were others than wanted or their T30 could not be measured."""
    images: int
    """Image sources in all."""
    seconds: float
    """Time spent simulating and measuring, summed over the responses."""
    gain_error: float
    """Largest error of a direct sound's dipole gains in the self-test; of the published way below 1 kHz, of its direction, in degrees."""
    nominal_agreement: float
    """Share of responses whose T30 aimed at has the same word as the measured one."""
    clipped: int
    """Responses that 16 bit cut off; 0 unless ``disse_compat``."""
