"""How much two labels have in common as words."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import numpy.typing as npt

from tasks.retrieve.nearest import DIGITS, choose

LEAST = 0.4
"""Cosine from which a pool clip counts: ``dog`` for ``dog_bark`` does (0.447), ``clock_alarm`` for ``clock_tick`` does not (0.2)."""
HEAD = 2
"""Weight of what the thing is: a label's last word that does not end in -ing, as English compounds end with it (``clock_alarm``), or say
what it does (``crackling_fire``, ``fire_crackling``). Otherwise a fire would be found among other things that crackle."""


def stem(word: str) -> str:
    """Return a word without its inflection: crackling, crackles and crackle are one; at least three letters stay."""
    return re.sub(r"(?<=[a-z]{3})(?:ing|ed|es|e|s)$", "", word.lower())


def bag(label: str) -> Counter[str]:
    """Return the weights of a label's word stems."""
    words = re.findall(r"[^\W\d_]+", label.lower())
    things = [word for word in words if not word.endswith("ing")] or words
    return Counter({stem(word): HEAD if word == things[-1] else 1 for word in words})


def word_cosines(labels: list[str], pool: list[str]) -> npt.NDArray[np.float64]:
    """Return the rounded cosines [labels, pool] of the labels' words; those below ``LEAST`` are 0."""
    known = {label: bag(label) for label in {*labels, *pool}}
    norms = {label: float(np.sqrt(sum(weight**2 for weight in words.values()))) for label, words in known.items()}
    pairs = {(one, other): _cosine(known[one], known[other], norms[one] * norms[other]) for one in set(labels) for other in set(pool)}
    return np.array([[pairs[one, other] for other in pool] for one in labels]).reshape(len(labels), len(pool))


def shared_out(similarity: npt.NDArray[np.float64], per_clip: int, unique: bool) -> list[list[int]]:
    """Return, for each query, the columns of its clips as ``choose`` does, but only those with words in common: there may be too few."""
    rows, columns = similarity.shape
    missing = max(0, per_clip * rows - columns)
    chosen = choose(np.pad(similarity, ((0, 0), (0, missing))), per_clip, unique)
    return [[column for column in found if column < columns and similarity[row, column] > 0] for row, found in enumerate(chosen)]


def _cosine(one: Counter[str], other: Counter[str], norms: float) -> float:
    shared = sum(weight * other[word] for word, weight in one.items())
    cosine = round(shared / norms, DIGITS) if norms else 0.0
    return cosine if cosine >= LEAST else 0.0
