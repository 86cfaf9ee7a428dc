"""What the space embeddings say in words: zero-shot attributes, and directions swapped by the arithmetic of text prototypes (ELSA)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import numpy.typing as npt

from core.derived import clip_seed
from tasks.evaluate_spatial.metrics import Array, retrieval, unit
from tasks.spatial import words
from tasks.spatial.words import ATTRIBUTES, SYNONYMS, Descriptors, Wording

PROMPTS = {
    "near": "a sound coming from near", "far": "a sound coming from far", "front": "a sound coming from the front",
    "right": "a sound coming from the right", "left": "a sound coming from the left", "back": "a sound coming from the back",
    "up": "a sound coming from up", "down": "a sound coming from down", "small": "a sound coming from a small room",
    "mid-sized": "a sound coming from a mid-sized room", "large": "a sound coming from a large room",
    "acoustically dampened": "a sound coming from an acoustically dampened room",
    "highly reverberant": "a sound coming from a highly reverberant room",
}  # fmt: skip
"""ELSA's form of a prompt, by word."""
CAPTIONS_PER_PROTOTYPE = 48
Read = Callable[[list[str]], Array]
"""Captions → space embeddings [captions, d]."""


def prompts(read: Read) -> dict[str, Array]:
    """Return the embedding of each word's prompt, of length 1: by word, [d]."""
    return dict(zip(PROMPTS, unit(read(list(PROMPTS.values()))), strict=True))


def prototypes(read: Read, sources: Sequence[str], wording: Wording, seed: int) -> dict[str, Array]:
    """Return for each word the mean embedding of captions that hold it, all else drawn; of length 1, by word.

    Args:
        read: captions → space embeddings.
        sources: what may sound, in words.
        wording: of the captions.
        seed: of the draws.
    """
    found = {}
    options = {name: [*SYNONYMS[name], *([] if name == "size" else [""])] for name in ATTRIBUTES}
    for attribute in ATTRIBUTES:
        for word in SYNONYMS[attribute]:
            rng = random.Random(clip_seed(seed, word, 0))  # noqa: S311
            captions = []
            for _ in range(CAPTIONS_PER_PROTOTYPE):
                drawn = {name: word if name == attribute else rng.choice(options[name]) for name in ATTRIBUTES}
                captions.append(words.caption(rng.choice(list(sources)), Descriptors(**drawn), rng, wording))
            found[word] = unit(unit(read(captions)).mean(0, keepdims=True))[0]
    return found


def zero_shot(audio: Array, described: Sequence[Descriptors], anchors: dict[str, Array]) -> dict[str, Any]:
    """Return how often a sound's space embedding is nearest to its own word's anchor, by attribute, over items that have a word.

    Args:
        audio: space embeddings [items, d], of length 1.
        described: the items' true words.
        anchors: embedding by word.
    """
    found: dict[str, Any] = {}
    for place, attribute in enumerate(ATTRIBUTES):
        true = np.array([astuple(one)[place] for one in described])
        known = true != ""
        if not known.any():
            continue
        said = nearest(audio[known], attribute, anchors)
        right = said == true[known]
        by_word = {word: float(right[true[known] == word].mean()) for word in SYNONYMS[attribute] if (true[known] == word).any()}
        found[attribute] = {
            "accuracy": float(right.mean()), "balanced_accuracy": float(np.mean(list(by_word.values()))), "by_word": by_word,
            "chance": 1 / len(SYNONYMS[attribute]), "items": int(known.sum()),
        }  # fmt: skip
    return found


def nearest(audio: Array, attribute: str, anchors: dict[str, Array]) -> npt.NDArray[np.str_]:
    """Return the word of an attribute whose anchor is nearest to each embedding [items]."""
    options = list(SYNONYMS[attribute])
    scores = audio @ np.stack([anchors[word] for word in options]).T
    return np.array(options)[scores.argmax(1)]


OPPOSITE = {"left": "right", "right": "left", "front": "back", "back": "front"}


def swap(audio: Array, text: Array, described: Sequence[Descriptors], anchors: dict[str, Array]) -> dict[str, Any]:
    """Return what becomes of sounds whose direction is exchanged for its opposite: e − anchor(word) + anchor(opposite).

    As in ELSA only sounds whose direction was told right at first are swapped. ``swapped``: share that is then told as the opposite;
    ``removed``: share that is still told right after e − anchor(word); ``R@10``: how often a caption with the right words is among the ten
    nearest, before, and after with the direction word exchanged (where the grid has such a caption); ``kept``: by other attribute, share
    of sounds told as before.

    Args:
        audio: space embeddings of sounds [items, d], of length 1.
        text: space embeddings of captions [items, d], of length 1.
        described: the items' true words.
        anchors: embedding by word.
    """
    true = np.array([one.direction for one in described])
    placed = true != ""
    right = placed & (nearest(audio, "direction", anchors) == true)
    found: dict[str, Any] = {"items": int(placed.sum()), "right_at_first": float(right.sum() / max(1, placed.sum()))}
    if not right.any():
        return found
    own = np.stack([anchors[word] for word in true[right]])
    target = np.array([OPPOSITE[word] for word in true[right]])
    moved = unit(audio[right] - own + np.stack([anchors[word] for word in target]))
    found["swapped"] = float(np.mean(nearest(moved, "direction", anchors) == target))
    found["removed"] = float(np.mean(nearest(unit(audio[right] - own), "direction", anchors) == true[right]))
    found["kept"] = {
        name: float(np.mean(nearest(moved, name, anchors) == nearest(audio[right], name, anchors)))
        for name in ATTRIBUTES
        if name != "direction"
    }
    names = np.array([words.descriptor_id(one) for one in described])
    wanted = np.array([
        words.descriptor_id(Descriptors(one.distance, OPPOSITE[one.direction], one.elevation, one.size, one.reverb))
        for one, is_right in zip(described, right, strict=True) if is_right
    ])  # fmt: skip
    there = np.isin(wanted, names)
    if there.any():
        before = retrieval(audio[right][there], text, names[right][there], names)
        after = retrieval(moved[there], text, wanted[there], names)
        found["R@10"] = {"before": before["R@10"], "after": after["R@10"], "items": int(there.sum())}
    return found
