"""What a room impulse response is called in words: thresholds of ELSA (Table A.T.3) and DISSE, their synonyms and DISSE's three templates.

Azimuths are AmbiX by default: positive is left. DISSE's words call positive azimuths right although its recordings, read as AmbiX, hold
them on the left; :data:`DISSE` says it their way.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any, Literal

from core.errors import InvalidValueError

AzimuthSign = Literal["left_positive", "right_positive"]


@dataclass(frozen=True)
class Descriptors:
    """The canonical words of a place; empty where no word applies."""

    distance: str = ""
    """near, far or empty."""
    direction: str = ""
    """front, right, left, back or empty."""
    elevation: str = ""
    """up, down or empty."""
    size: str = ""
    """small, mid-sized or large; every floor area has a word."""
    reverb: str = ""
    """acoustically dampened, highly reverberant or empty."""


ATTRIBUTES = tuple(field.name for field in fields(Descriptors))
"""distance, direction, elevation, size, reverb: also the order in which words are drawn."""
SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
    "distance": {"near": ("near", "close", "nearby"), "far": ("far", "distant")},
    "direction": {
        "front": ("front", "in front"), "right": ("right", "to the right"), "left": ("left", "to the left"), "back": ("back", "behind"),
    },
    "elevation": {"up": ("up", "above"), "down": ("down", "below")},
    "size": {"small": ("small", "tiny"), "mid-sized": ("mid-sized", "medium"), "large": ("large", "spacious")},
    "reverb": {
        "acoustically dampened": ("acoustically dampened", "dry-sounding"), "highly reverberant": ("highly reverberant", "echoey"),
    },
}  # fmt: skip
"""By attribute and canonical word, the words that DISSE draws from; ELSA says the canonical one."""
TEMPLATES = (
    "The sound: {sound} is coming from the {location} of a {room}.",
    "You can hear {sound} from the {location}, inside a {room}.",
    "The sound: {sound} originates in the {location} of a {room}.",
)
"""DISSE's three templates."""
UNPLACED = (
    "The sound: {sound} is coming from inside a {room}.",
    "You can hear {sound}, inside a {room}.",
    "The sound: {sound} originates in a {room}.",
)
"""The same without a location: DISSE leaves a hole in the sentence."""
NOTHING = "none"


@dataclass(frozen=True)
class Wording:
    """How captions are worded."""

    azimuth_sign: AzimuthSign = "left_positive"
    """Which side a positive azimuth is on, as the catalogue says it."""
    t30: str = "fullband_T30_ms"
    """Catalogue column that the word for reverberation comes from."""
    synonyms: bool = True
    """Whether synonyms are drawn; off, the canonical words of ELSA are used."""
    templates: bool = True
    """Whether one of the three templates is drawn; off, there is one sentence (the deterministic one of DISSE's development code)."""
    broken_when_unplaced: bool = False
    """Whether an empty location leaves a hole in the sentence, as in DISSE."""
    tidy: bool = True
    """Whether blanks and a full stop at the end of the source's caption are left out, since the sentence goes on."""


DISSE = Wording(azimuth_sign="right_positive", t30="t30_nominal_ms", broken_when_unplaced=True, tidy=False)
"""DISSE's captions word for word: mirrored sides, reverberation by the nominal T30, a hole where no location word applies."""


def value(row: Any, name: str) -> float:
    """Return a number of a catalogue row: a mapping, a pandas row, or a tuple of ``itertuples``.

    Raises:
        InvalidValueError: the row has no such column, or no finite number in it.
    """
    found = row.get(name) if isinstance(row, Mapping) or hasattr(row, "get") else getattr(row, name, None)
    try:
        number = float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidValueError("no number", where=f"catalogue column {name}", allowed="a finite number", received=found)
    return number


def distance_word(distance_m: float) -> str:
    """Return near below 1 m, far above 2 m, nothing from 1 to 2 m."""
    return "near" if distance_m < 1.0 else "far" if distance_m > 2.0 else ""


def direction_word(azimuth_deg: float, azimuth_sign: AzimuthSign = "left_positive") -> str:
    """Return front (within 35°), left or right (55° to 125°), back (from 145°), all inclusive; nothing in the gaps between."""
    wrapped = azimuth_deg if -180.0 <= azimuth_deg <= 180.0 else (azimuth_deg + 180.0) % 360.0 - 180.0
    if abs(wrapped) <= 35.0:
        return "front"
    if abs(wrapped) >= 145.0:
        return "back"
    if 55.0 <= abs(wrapped) <= 125.0:
        return "left" if (wrapped > 0) == (azimuth_sign == "left_positive") else "right"
    return ""


def elevation_word(elevation_deg: float) -> str:
    """Return up above 40°, down below −40°, else nothing."""
    return "up" if elevation_deg > 40.0 else "down" if elevation_deg < -40.0 else ""


def size_word(area_m2: float) -> str:
    """Return small below 50 m², large above 100 m², mid-sized from 50 to 100 m²."""
    return "small" if area_m2 < 50.0 else "large" if area_m2 > 100.0 else "mid-sized"


def reverb_word(t30_ms: float) -> str:
    """Return acoustically dampened below 200 ms, highly reverberant above 1000 ms, else nothing."""
    return "acoustically dampened" if t30_ms < 200.0 else "highly reverberant" if t30_ms > 1000.0 else ""


def describe(row: Any, wording: Wording = Wording()) -> Descriptors:
    """Return the canonical words of a catalogue row.

    Args:
        row: has azimuth_deg, elevation_deg, source_distance_m, area_m2 and the T30 column of the wording.
        wording: the handedness of the azimuth, and which T30 counts.

    Raises:
        InvalidValueError: a number is missing.
    """
    return Descriptors(
        distance=distance_word(value(row, "source_distance_m")),
        direction=direction_word(value(row, "azimuth_deg"), wording.azimuth_sign),
        elevation=elevation_word(value(row, "elevation_deg")),
        size=size_word(value(row, "area_m2")),
        reverb=reverb_word(value(row, wording.t30)),
    )


def descriptor_id(descriptors: Descriptors) -> str:
    """Return a readable name of the tuple, equal for equal words: ``near_front_none_mid-sized_highly-reverberant``."""
    return "_".join(word.replace(" ", "-") or NOTHING for word in astuple(descriptors))


def parse_id(text: str) -> Descriptors:
    """Return the words behind a :func:`descriptor_id`.

    Raises:
        InvalidValueError: it names no tuple.
    """
    known = {word.replace(" ", "-"): word for words in SYNONYMS.values() for word in words} | {NOTHING: ""}
    words = [known.get(part, part) for part in text.split("_")]
    if len(words) != len(ATTRIBUTES) or any(word and word not in SYNONYMS[name] for name, word in zip(ATTRIBUTES, words, strict=True)):
        raise InvalidValueError(
            "no tuple of words", where="descriptor_id", allowed="distance_direction_elevation_size_reverb, with none for no word",
            received=text,
        )  # fmt: skip
    return Descriptors(*words)


def all_tuples() -> list[Descriptors]:
    """Return the 405 tuples that can occur, no word included: 3 distances, 5 directions, 3 elevations, 3 sizes, 3 reverberations."""
    return [
        Descriptors(*words) for words in itertools.product(*([*SYNONYMS[name], *([] if name == "size" else [""])] for name in ATTRIBUTES))
    ]


def full_tuples() -> list[Descriptors]:
    """Return the 96 tuples that have a word for everything: DISSE's evaluation grid."""
    return [descriptors for descriptors in all_tuples() if all(astuple(descriptors))]


def draw(descriptors: Descriptors, rng: random.Random, wording: Wording = Wording()) -> tuple[Descriptors, str]:
    """Draw the words and the template in DISSE's order: distance, direction, elevation, size, reverberation, template.

    A draw is made only where a word applies, so the generator's position afterwards depends on the words before.

    Returns:
        The drawn words, and the template with the holes sound, location and room.
    """
    drawn = [
        (rng.choice(SYNONYMS[name][word]) if wording.synonyms else word) if word else ""
        for name, word in zip(ATTRIBUTES, astuple(descriptors), strict=True)
    ]
    words = Descriptors(*drawn)
    if not wording.templates:
        return words, _single(words)
    unplaced = not location(words) and not wording.broken_when_unplaced
    return words, rng.choice(UNPLACED if unplaced else TEMPLATES)


def location(words: Descriptors) -> str:
    """Return distance, elevation and direction as one phrase, empty when there is none of them."""
    return " ".join(word for word in (words.distance, words.elevation, words.direction) if word)


def _single(words: Descriptors) -> str:
    place = "{sound} in the {location} part of a " if location(words) else "{sound} in a "
    return place + words.size + " room" + (f" that is {words.reverb}" if words.reverb else "") + "."


def caption(source_caption: str, row: Any, rng: random.Random, wording: Wording = Wording()) -> str:
    """Return a spatial caption of a sound that is heard through a RIR.

    Args:
        source_caption: what sounds, in words.
        row: the RIR's catalogue row, or its :class:`Descriptors`.
        rng: one stream; DISSE reads one ``random.Random(42)`` through the whole grid, source by source.
        wording: the handedness, the T30 and the sentences.
    """
    descriptors = row if isinstance(row, Descriptors) else describe(row, wording)
    words, template = draw(descriptors, rng, wording)
    room = " ".join(word for word in (words.size, words.reverb, "room") if word)
    sound = source_caption.strip().rstrip(".") if wording.tidy else source_caption
    # Not str.format: a caption may hold braces.
    holes = {"{sound}": sound, "{location}": location(words), "{room}": room}
    return "".join(holes.get(part, part) for part in _split(template))


def _split(template: str) -> list[str]:
    parts = template.replace("{", "\0{").replace("}", "}\0").split("\0")
    return [part for part in parts if part]
