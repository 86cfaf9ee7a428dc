"""Whether a rewritten caption still says where the sound is: every descriptive word survives, none contradicts, the source stays."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple

from tasks.language_model.text import markup
from tasks.spatial.words import ATTRIBUTES, SYNONYMS, Descriptors

FURTHER: dict[str, dict[str, tuple[str, ...]]] = {
    "distance": {"near": ("near by", "close by", "up close"), "far": ("far away", "in the distance", "far-off", "distantly")},
    "direction": {
        "front": ("in front of", "ahead"), "right": ("right-hand", "rightward"), "left": ("left-hand", "leftward"),
        "back": ("rear", "backward"),
    },
    "elevation": {"up": ("overhead", "upward", "upper"), "down": ("downward", "beneath", "underneath", "lower")},
    "size": {
        "small": ("little", "cramped"), "mid-sized": ("medium-sized", "midsized", "mid-size", "moderately sized"),
        "large": ("big", "huge", "vast", "roomy"),
    },
    "reverb": {
        "acoustically dampened": ("dampened", "damped", "acoustically dry"),
        "highly reverberant": ("reverberant", "reverberating", "reverberation", "echo", "echoes", "echoing", "resonant"),
    },
}  # fmt: skip
"""What counts beside the synonyms that templates draw from."""
KEPT_SHARE = 0.5
"""Of the source's words of four letters and more, how many must come back, at least by their beginning."""


def phrases(attribute: str, word: str) -> tuple[str, ...]:
    """Return every phrase that says a canonical word."""
    return SYNONYMS[attribute][word] + FURTHER[attribute][word]


def count(text: str, wanted: Iterable[str]) -> int:
    """Return how often a text has any of some phrases, as whole words, longest first, in any case."""
    ordered = sorted(wanted, key=len, reverse=True)
    pattern = r"(?<![\w-])(?:" + "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in ordered) + r")(?![\w-])"
    return len(re.findall(pattern, text, re.IGNORECASE))


def fault(text: str, descriptors: Descriptors, source_caption: str, max_words: int) -> str:
    """Return why a rewritten caption cannot be used, empty when it can.

    What the source itself says ("a small dog backs up") neither proves nor contradicts anything: a phrase counts only as often as it
    occurs beyond the source's own. In doubt a caption is refused, and the template kept.

    Args:
        text: the cleaned caption.
        descriptors: the words of the place.
        source_caption: what sounds.
        max_words: its longest length.
    """
    if found := markup(text):
        return found
    if len(text.split()) > max_words:
        return f"has {len(text.split())} words, allowed are {max_words}"
    for attribute, word in zip(ATTRIBUTES, astuple(descriptors), strict=True):
        said = {one: count(text, phrases(attribute, one)) - count(source_caption, phrases(attribute, one)) for one in SYNONYMS[attribute]}
        foreign = next((one for one, times in said.items() if one != word and times > 0), "")
        if foreign:
            return f"says {attribute} {foreign!r}, " + (f"which contradicts {word!r}" if word else "of which nothing is known")
        if word and said[word] < 1:
            return f"does not say {attribute} {word!r}"
    missing = lost(text, source_caption)
    return f"leaves out of what sounds: {', '.join(missing[:5])}" if missing else ""


def lost(text: str, source_caption: str) -> list[str]:
    """Return the source's words that a text leaves out, if it leaves out more than it may."""
    own = [word for word in dict.fromkeys(re.findall(r"\w+", source_caption.casefold())) if len(word) > 3]
    heard = re.findall(r"\w+", text.casefold())
    missing = [word for word in own if not any(other[:4] == word[:4] for other in heard)]
    return missing if len(missing) > (1.0 - KEPT_SHARE) * len(own) else []
