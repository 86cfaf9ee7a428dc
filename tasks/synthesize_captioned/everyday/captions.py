"""Captions of named sounds: the published template around a dataset's label, and prose that names the source and tells its acoustics."""

from __future__ import annotations

from tasks.synthesize_captioned.everyday.parts import Family
from tasks.synthesize_captioned.words import Rng, pick

OPENINGS = ("", "", "the sound of ", "a recording of ", "we hear ")
BARE_SHARE = 0.3
"""Share of captions that are "Sound of a {label}", half of them with the acoustics after it."""


def caption(rng: Rng, family: Family, details: str, tail: str, quiet: bool) -> str:
    """Return a caption that holds one of the family's names.

    Args:
        rng: chooses name and phrasing.
        family: the names.
        details: the noun phrase that the family's model returned.
        tail: words on place and noise, each with a blank before it.
        quiet: whether the clip's level is low.
    """
    if rng.random() < BARE_SHARE:
        text = f"Sound of a {pick(rng, family.labels)}"
        return text if rng.random() < 0.5 else f"{text}, {details}{tail}"
    name = pick(rng, family.phrases) if rng.random() < 0.65 else pick(rng, family.labels)
    opening = "a quiet recording of " if quiet else pick(rng, OPENINGS)
    text = f"{opening}{name}{tail}" if rng.random() < 0.15 else f"{opening}{name}{pick(rng, (', ', ', ', ' with '))}{details}{tail}"
    return text[0].upper() + text[1:]
