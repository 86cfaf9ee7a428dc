"""What makes a sound file unusable, said in one word that goes into the manifest, with the detail beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

from core import audio

T = TypeVar("T")

MAX_CHANNELS = 64


@dataclass(frozen=True)
class Limits:
    """Which clips are usable."""

    min_duration_s: float = 0.1
    max_duration_s: float = 60.0
    silence_dbfs: float = -70.0
    """A clip whose peak stays below this level, in dB full scale, is silent."""
    clipped_share: float = 0.02
    """A clip with more than this share of its samples in runs at full scale is clipped."""


class Unusable(Exception):
    """A clip cannot be used. ``reason`` is one of the words in :data:`REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


REASONS = {
    "missing_file": "there is no such file",
    "outside_root": "the path leads out of the dataset's root",
    "empty_file": "the file has no bytes, or no samples",
    "unreadable": "no sound file, or damaged or cut short",
    "too_short": "shorter than min_duration_s",
    "too_long": "longer than max_duration_s",
    "not_finite": "holds NaN or infinite samples",
    "silent": "its peak is below silence_dbfs",
    "clipped": "too many samples lie in runs at full scale",
}


def locate(root: Path, relative: str) -> Path:
    """Return the file a table names.

    Raises:
        Unusable: ``outside_root`` (also by ``..`` or a symbolic link), ``missing_file``, ``empty_file``.
    """
    path = root / relative
    try:
        resolved = path.resolve()
        inside = not Path(relative).is_absolute() and resolved.is_relative_to(root.resolve())
        if not inside:
            raise Unusable("outside_root", f"{relative!r} is not below the root")
        if not resolved.is_file():
            raise Unusable("missing_file", f"{relative!r} does not exist")
    except (OSError, ValueError) as error:  # names with NUL bytes, names too long for the file system
        raise Unusable("missing_file", f"{relative!r}: {error}") from error
    if resolved.stat().st_size == 0:
        raise Unusable("empty_file", f"{relative!r} has no bytes")
    return resolved


def load(path: Path, limits: Limits) -> tuple[audio.Samples, int]:
    """Decode a file that is within the limits; returns (samples [channels, samples], sample rate in Hz).

    Never decodes more than ``max_duration_s`` plus one block, whatever the header says.

    Raises:
        Unusable: any reason that needs the file's content.
    """
    try:
        with soundfile.SoundFile(path) as handle:
            rate_hz, announced = handle.samplerate, handle.frames
            if handle.channels > MAX_CHANNELS:
                raise Unusable("unreadable", f"{handle.channels} channels; at most {MAX_CHANNELS} are read")
            longest = int(limits.max_duration_s * rate_hz) + rate_hz
            samples = handle.read(longest, dtype="float32", always_2d=True).T
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise Unusable("unreadable", str(error)) from error
    if 0 < announced < 1 << 62 and samples.shape[1] < min(announced, longest):
        raise Unusable("unreadable", f"cut short: {announced} samples announced, {samples.shape[1]} found")
    check(samples, rate_hz, limits)
    return np.ascontiguousarray(samples), int(rate_hz)


def heard(
    paths: Mapping[str, Path], limits: Limits, listen: Callable[[audio.Samples, int], T]
) -> tuple[dict[str, T], dict[str, Unusable | OSError]]:
    """Decode clips one by one.

    Args:
        paths: sound files by clip_id.
        limits: what can be used.
        listen: is given each clip as mono [samples], and its sample rate in Hz.

    Returns:
        what ``listen`` returned by clip_id, and why other clips are unusable.
    """
    found: dict[str, T] = {}
    unusable: dict[str, Unusable | OSError] = {}
    for clip_id, path in paths.items():
        try:
            samples, rate_hz = load(path, limits)
        except (Unusable, OSError) as error:
            unusable[clip_id] = error
            continue
        found[clip_id] = listen(samples.mean(axis=0), rate_hz)
    return found, unusable


def check(samples: audio.Samples, rate_hz: int, limits: Limits) -> None:
    """Refuse decoded samples [channels, samples] that no stage could use.

    Raises:
        Unusable: ``empty_file``, ``too_short``, ``too_long``, ``not_finite``, ``silent`` or ``clipped``.
    """
    duration_s = samples.shape[1] / rate_hz
    if not samples.size:
        raise Unusable("empty_file", "no samples")
    if duration_s < limits.min_duration_s:
        raise Unusable("too_short", f"{duration_s:.3f} s, at least {limits.min_duration_s:g} s are needed")
    if duration_s > limits.max_duration_s:
        raise Unusable("too_long", f"more than {limits.max_duration_s:g} s")
    if not np.isfinite(samples).all():
        raise Unusable("not_finite", f"{int((~np.isfinite(samples)).sum())} samples are NaN or infinite")
    peak = float(np.abs(samples).max())
    if peak <= 10 ** (limits.silence_dbfs / 20):
        raise Unusable("silent", f"peak {20 * np.log10(max(peak, 1e-12)):.0f} dB full scale")
    share = clipped_share(samples)
    if share > limits.clipped_share:
        raise Unusable("clipped", f"{share:.1%} of the samples lie in runs at full scale")


def clipped_share(samples: audio.Samples) -> float:
    """Return the share of samples that lie in runs of at least three at the channel's extreme, when that extreme is full scale."""
    flat = 0
    for channel in samples:
        peak = np.abs(channel).max()
        if peak < 0.985:
            continue
        at_peak = np.abs(channel) >= 0.9995 * peak
        edges = np.flatnonzero(np.diff(np.concatenate(([0], at_peak.astype(np.int8), [0]))))
        runs = edges[1::2] - edges[::2]
        flat += int(runs[runs >= 3].sum())
    return flat / samples.size
