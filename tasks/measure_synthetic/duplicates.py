"""Near-duplicates between two sets of clips or within one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.measure_synthetic import mel
from tasks.measure_synthetic.features import Clip, Sounds, unit
from tasks.measure_synthetic.spec import Settings

DIGITS = 4


@dataclass(frozen=True)
class Pair:
    """A clip and its nearest one in the other set."""

    clip: Clip
    other: Clip
    correlation: float
    """Spectrogram correlation at the best shift, −1 … 1."""
    lag_s: float
    """Seconds by which ``other`` is later in ``clip``."""
    waveform: float | None
    """|Waveform correlation| around that shift, None where the spectrograms are too unlike for the shift to mean anything."""
    cosine: float | None
    """Cosine of the audio embeddings; None without."""
    duplicate: bool
    """Whether the pair is above one of the bounds."""


def nearest(first: Sequence[Clip], second: Sequence[Clip], sounds: Sounds, settings: Settings) -> list[Pair]:
    """Return for every clip of ``first`` the clip of ``second`` with the greatest spectrogram correlation; never itself."""
    found = mel.match([clip.print_ for clip in first], [clip.print_ for clip in second], settings.least_overlap)
    correlation = found.correlation.copy()
    theirs = {clip.clip_id: number for number, clip in enumerate(second)}
    for row, clip in enumerate(first):
        if clip.clip_id in theirs:
            correlation[row, theirs[clip.clip_id]] = -np.inf
    pairs = []
    for row, clip in enumerate(first):
        column = int(correlation[row].round(DIGITS).argmax())  # rounded: the first of equals, whatever the last bits
        if np.isfinite(correlation[row, column]):
            pairs.append(_pair(clip, second[column], float(correlation[row, column]), int(found.lag[row, column]), sounds, settings))
    return pairs


def distinct(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with each two clips once, the closest first."""
    found: dict[tuple[str, ...], Pair] = {}
    for pair in sorted(pairs, key=closest_first):
        found.setdefault(tuple(sorted((pair.clip.clip_id, pair.other.clip_id))), pair)
    return list(found.values())


def closest_first(pair: Pair) -> tuple[bool, float, str, str]:
    """Order pairs: near-duplicates first, then by the greater of the two correlations."""
    return not pair.duplicate, -max(pair.correlation, pair.waveform or 0.0), pair.clip.clip_id, pair.other.clip_id


def _pair(clip: Clip, other: Clip, correlation: float, lag: int, sounds: Sounds, settings: Settings) -> Pair:
    """Compare two clips at a known shift."""
    waveform = None
    if correlation >= settings.waveform_from:
        waveform = round(mel.waveform_match(sounds[clip.path], sounds[other.path], lag), DIGITS)
    cosine = None
    if clip.embedding is not None and other.embedding is not None:
        own, theirs = unit([clip, other])
        cosine = round(float(own @ theirs), DIGITS)
    correlation = round(correlation, DIGITS)
    duplicate = correlation >= settings.duplicate_correlation or (waveform or 0.0) >= settings.duplicate_waveform
    return Pair(clip, other, correlation, round(lag * mel.HOP / mel.RATE_HZ, 3), waveform, cosine, duplicate)
