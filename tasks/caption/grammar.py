"""Turns descriptors into events and scenes, and events and scenes into sentences. Words of the label never become components."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from tasks.caption.descriptors import Descriptors

TEMPLATES = (
    "{label} {event}, {scene}",
    "the sound of {label} {event} {scene}",
    "{scene}, {label} {event}",
    "{label} {event} and {event2}, {scene}",
    "a recording of {label} {event}, {event2}",
)


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, list[str]]:
    """Return the scenes known for common classes; ``default`` serves every other label."""
    return dict(json.loads((Path(__file__).parent / "scenes.json").read_text(encoding="utf-8")))


def spoken(label: str) -> str:
    """Return a label the way it is spoken: underscores are spaces."""
    return label.replace("_", " ").strip()


def events(measured: Descriptors) -> list[str]:
    """Return what happens in a clip, as phrases that follow the label."""
    phrases = []
    if measured.onsets_per_s >= 6:
        phrases.append("repeating very fast")
    elif measured.onsets_per_s >= 2.5:
        phrases.append("repeating quickly")
    elif measured.onsets_per_s >= 0.9:
        phrases.append("repeating slowly")
    elif measured.activity > 0.85 and measured.variation_db < 4:
        phrases.append("going on steadily")
    elif measured.activity > 0.6:
        phrases.append("rising and falling")
    else:
        phrases.append("sounding once and stopping")
    if measured.pitch_hz:
        bounds, words = (180, 450, 1100), ("at a low pitch", "at a medium pitch", "at a high pitch", "at a very high pitch")
        phrases.append(words[int(np.searchsorted(bounds, measured.pitch_hz))])
    elif measured.flatness > 0.15:
        phrases.append("with a noisy hiss")
    elif measured.flatness > 0.03:
        phrases.append("with a rough texture")
    phrases.append(("with a dull tone", "with a balanced tone", "with a bright tone", "with a shrill tone")[
        int(np.searchsorted((700, 1800, 3500), measured.centroid_hz))
    ])  # fmt: skip
    if measured.activity < 0.35:
        phrases.append("in short bursts with pauses")
    if measured.variation_db > 7 and measured.activity > 0.5:
        phrases.append("changing a lot in level")
    return phrases


def scenes(measured: Descriptors, label: str) -> list[str]:
    """Return where and how a clip seems to have been recorded."""
    phrases = [
        "far away and quiet" if measured.loudness_dbfs < -34 else "close and loud" if measured.loudness_dbfs > -17 else "at some distance"
    ]
    if measured.onsets_per_s > 0.5 and measured.decay_db_per_s:
        phrases.append("in a reverberant space" if measured.decay_db_per_s < 60 else "in a dry room")
    if measured.activity > 0.9 and measured.flatness > 0.05:
        phrases.append("with steady background noise")
    elif measured.activity < 0.4:
        phrases.append("with silence in between")
    return phrases + vocabulary().get(label.lower().replace(" ", "_"), vocabulary()["default"])


def without_label(phrases: Sequence[str], label: str) -> list[str]:
    """Drop phrases that share a word of the label (four letters or more): they would only repeat it."""
    words = {word for word in spoken(label).lower().split() if len(word) > 3}
    return [phrase for phrase in phrases if not words & set(phrase.lower().split())]


def sentence(rng: np.random.Generator, label: str, pool_events: Sequence[str], pool_scenes: Sequence[str], max_words: int) -> str:
    """Return one caption that contains the label; components are drawn from the pools, and left out where it would get too long."""
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    chosen = [str(phrase) for phrase in rng.permutation(list(pool_events))[:2]]
    # Two phrases of the same kind ("at a low pitch", "at a high pitch") would contradict each other.
    second = next((phrase for phrase in chosen[1:] if phrase.split()[0] != chosen[0].split()[0]), "clearly audible")
    scene = str(rng.choice(list(pool_scenes))) if pool_scenes else "somewhere"
    text = template.format(label=spoken(label), event=chosen[0] if chosen else "sounding", event2=second, scene=scene)
    words = text.split()
    if len(words) > max_words:
        words = f"{spoken(label)} {chosen[0] if chosen else ''}".split()[:max_words]
    joined = " ".join(words)
    return joined[0].upper() + joined[1:] if not joined.startswith(spoken(label)) else joined
