"""Words and random draws that all families share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.dsp import Signal

Described = tuple[Signal, str]
"""A sound [samples] and the words that describe it."""
Rng = np.random.Generator


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Draw from ``low`` to ``high``, every octave as likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def pick(rng: Rng, options: Sequence[str]) -> str:
    """Draw one of the options, all as likely."""
    return options[int(rng.integers(len(options)))]


def word(value: float, bounds: tuple[float, ...], words: tuple[str, ...]) -> str:
    """Return the word of the interval that ``value`` falls into; one more word than bounds."""
    return words[int(np.searchsorted(bounds, value))]


def pitch_word(frequency_hz: float) -> str:
    """Return how high a frequency is, in words."""
    return word(frequency_hz, (160, 500, 1500, 3500), ("very low", "low", "mid-range", "high", "very high"))


def rate_word(rate_per_s: float) -> str:
    """Return how fast a repetition is, in words."""
    return word(rate_per_s, (2.0, 5.0, 12.0), ("slow", "steady", "fast", "very fast"))


def count_of(number: int, one: str, many: str = "") -> str:
    """Return a number of things in words: "a bark", "three barks", "many barks"."""
    if number <= 1:
        return f"{'an' if one[0] in 'aeiou' else 'a'} {one}"
    return f"{('two', 'three', 'four', 'five')[number - 2] if number < 6 else 'many'} {many or one + 's'}"
