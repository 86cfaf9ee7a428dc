"""Turns measured descriptors into events and scenes in words; words of the label never become components."""

from __future__ import annotations

import numpy as np

from tasks.caption.descriptors import Descriptors
from tasks.language_model.text import spoken


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


def scenes(measured: Descriptors) -> list[str]:
    """Return how a clip seems to have been recorded."""
    phrases = [
        "far away and quiet" if measured.loudness_dbfs < -34 else "close and loud" if measured.loudness_dbfs > -17 else "at some distance"
    ]
    if measured.onsets_per_s > 0.5 and measured.decay_db_per_s:
        phrases.append("in a reverberant space" if measured.decay_db_per_s < 60 else "in a dry room")
    if measured.activity > 0.9 and measured.flatness > 0.05:
        phrases.append("with steady background noise")
    elif measured.activity < 0.4:
        phrases.append("with silence in between")
    return phrases


def description(measured: Descriptors, label: str) -> str:
    """Return a caption of everything that was measured; what a language model gets where no captioner has listened."""
    return f"{spoken(label)} {', '.join([*events(measured), *scenes(measured)])}"
