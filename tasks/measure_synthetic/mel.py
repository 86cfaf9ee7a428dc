"""Log-mel spectrograms, and what is computed from them without any model: statistics per band, and a correlation that finds copies.

A copy is found whatever its gain and its shift in time: what is compared is how the shape of the spectrum changes from one frame to the
next ones that share no sample with it. Neither the spectrum itself nor the envelope enters, since clips of one class are alike in both;
a steady sound changes too, by chance, and no two recordings of rain do so alike. On ESC-10's 400 clips the greatest correlation of
two different recordings is 0.66, that of rolled, shifted or attenuated copies is at least 0.96 (docs/measures.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

from core import audio
from core.audio import Samples

RATE_HZ = 16000
WINDOW, HOP = 1024, 256
"""Four windows overlap, so a shift of half a hop changes a frame little."""
BANDS = 32
FLOOR_DB = -60.0
"""Below the clip's loudest band and frame; what is below is digital silence and dither, the same in every clip that was padded."""
STEP_FRAMES = 25
"""Clips are compared at lengths cut down to a whole number of these (0.4 s), so that there are few different lengths."""

Array = npt.NDArray[np.float64]


def filters(bands: int = BANDS, low_hz: float = 60.0) -> Array:
    """Return triangular filters [bands, WINDOW // 2 + 1], equally wide on the mel scale 2595·log10(1 + f/700) (O'Shaughnessy, 1987)."""
    edges_mel = np.linspace(2595 * np.log10(1 + low_hz / 700), 2595 * np.log10(1 + RATE_HZ / 2 / 700), bands + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    bins = np.arange(WINDOW // 2 + 1) * RATE_HZ / WINDOW
    rising = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


def log_mel(sound: Samples) -> Array:
    """Return band levels in dB [bands, frames] of a sound [samples] at ``RATE_HZ``; at least one frame."""
    padded = np.pad(sound.astype(np.float64), (0, max(0, WINDOW - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(fft.rfft(frames * signal.get_window("hann", WINDOW), axis=1)) ** 2
    levels = 10 * np.log10(power @ filters().T + 1e-12)
    return np.ascontiguousarray(np.maximum(levels, levels.max() + FLOOR_DB).T)


def statistics(levels: Array) -> Array:
    """Return mean and standard deviation over time of every band, [2 · bands] in dB."""
    return np.concatenate([levels.mean(axis=1), levels.std(axis=1)])


def fingerprint(levels: Array) -> Array:
    """Return what :func:`match` compares of log-mel levels [bands, frames]: [bands, fewer frames] in dB.

    Every frame loses its mean over the bands (its loudness) and the frame one window earlier; the end is cut to a whole number of steps.
    """
    shape = levels - levels.mean(axis=0)
    apart = WINDOW // HOP
    change = shape[:, apart:] - shape[:, :-apart] if shape.shape[1] > apart else np.zeros((len(shape), 1))
    frames = change.shape[1]
    return change[:, : max(min(frames, STEP_FRAMES), frames - frames % STEP_FRAMES)]


@dataclass(frozen=True)
class Matches:
    """The best match of every first clip with every second one."""

    correlation: Array
    """Pearson correlation over the shared frames at the best shift, [first, second], −1 … 1."""
    lag: npt.NDArray[np.int64]
    """Frames by which the second clip is later in the first, [first, second]."""


def match(first: Sequence[Array], second: Sequence[Array], least_overlap: float = 0.4) -> Matches:
    """Correlate all pairs at all shifts.

    Args:
        first: fingerprint [bands, frames] of each clip; lengths may differ.
        second: the same.
        least_overlap: share of the shorter clip that must overlap.
    """
    correlation, lag = np.full((len(first), len(second)), -1.0), np.zeros((len(first), len(second)), np.int64)
    lengths = [[print_.shape[1] for print_ in group] for group in (first, second)]
    for long in sorted(set(lengths[0])):
        rows = [i for i, length in enumerate(lengths[0]) if length == long]
        for other in sorted(set(lengths[1])):
            columns = [i for i, length in enumerate(lengths[1]) if length == other]
            for own, theirs in itertools.product(_blocks(rows), _blocks(columns)):
                found = _match_equal(np.stack([first[i] for i in own]), np.stack([second[i] for i in theirs]), least_overlap)
                correlation[np.ix_(own, theirs)], lag[np.ix_(own, theirs)] = found.correlation, found.lag
    return Matches(correlation, lag)


def _blocks(clips: list[int], size: int = 128) -> list[list[int]]:
    """Cut a list into blocks, to bound the memory."""
    return [clips[start : start + size] for start in range(0, len(clips), size)]


def _match_equal(first: Array, second: Array, least_overlap: float) -> Matches:
    """Correlate clips [n, bands, t] with clips [m, bands, u].

    At a shift k the shared frames are first[k:] and second, or first and second[-k:]. With a and b the levels in them, s frames long,
    r = Σ_f (Σ_t ab − Σ_t a · Σ_t b / s) / sqrt(Σ_f (Σ_t a² − (Σ_t a)² / s) · the same of b): each band loses its own mean over the
    shared part, all bands share one norm. Σ_t ab comes from FFTs, the other sums from running sums.
    """
    t, u = first.shape[2], second.shape[2]
    least = max(2, round(least_overlap * min(t, u)))
    lags = np.arange(least - u, t - least + 1)
    begin, end = np.maximum(0, lags), np.minimum(t, lags + u)
    shared = (end - begin).astype(np.float64)
    first = first - first.mean(axis=2, keepdims=True)  # smaller numbers lose fewer digits in the differences of sums below
    second = second - second.mean(axis=2, keepdims=True)
    sum_a, spread_a = _running(first, begin, end)
    sum_b, spread_b = _running(second, begin - lags, end - lags)
    size = fft.next_fast_len(t + u, real=True)
    spectrum_a, spectrum_b = fft.rfft(first.astype(np.float32), size), np.conj(fft.rfft(second.astype(np.float32), size))
    product = np.matmul(spectrum_a.transpose(2, 0, 1), spectrum_b.transpose(2, 1, 0))  # [bins, n, m]
    cross = fft.irfft(product.transpose(1, 2, 0), size)[:, :, lags % size].astype(np.float64)
    means = np.matmul(sum_a.transpose(2, 0, 1), sum_b.transpose(2, 1, 0)).transpose(1, 2, 0) / shared
    # A band that stands still has nothing to compare: a spread of less than 0.1 dB² in the mean is no match.
    norm = np.sqrt(spread_a[:, None] * spread_b[None])
    dull = np.minimum(spread_a[:, None], spread_b[None]) < 0.1 * first.shape[1] * shared
    found = np.where(dull, -1.0, (cross - means) / np.maximum(norm, 1e-9))
    best = found.argmax(axis=2)
    return Matches(np.take_along_axis(found, best[:, :, None], 2)[:, :, 0].clip(-1, 1), lags[best])


def _running(levels: Array, begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """Return Σ_t over [begin, end) per band, [n, bands, lags], and Σ_f (Σ_t x² − (Σ_t x)² / s), [n, lags]."""
    totals = np.pad(np.cumsum(levels, axis=2), ((0, 0), (0, 0), (1, 0)))
    squares = np.pad(np.cumsum((levels**2).sum(axis=1), axis=1), ((0, 0), (1, 0)))
    sums = totals[:, :, end] - totals[:, :, begin]
    return sums, np.maximum(squares[:, end] - squares[:, begin] - (sums**2).sum(axis=1) / (end - begin), 0.0)


def low_passed(sound: Samples) -> Samples:
    """Return a sound [samples] at ``RATE_HZ`` without what lies above 4 kHz.

    A copy that went through a codec or another sample rate has lost that, and below it a shift of half a sample changes little.
    """
    return audio.resample(audio.resample(sound, RATE_HZ, RATE_HZ // 2), RATE_HZ // 2, RATE_HZ)


def waveform_match(first: Samples, second: Samples, lag_frames: int, search_frames: int = 2) -> float:
    """Return the greatest |normalised cross-correlation| of two sounds around a shift found by :func:`match`, 0 … 1.

    Args:
        first: a sound [samples] from :func:`low_passed`.
        second: another.
        lag_frames: frames by which the second is later in the first.
        search_frames: frames to either side of the shift that are tried, sample by sample.
    """
    centre, search = lag_frames * HOP, search_frames * HOP
    begin, end = max(0, centre), min(len(first), centre + len(second))
    a = first[begin:end].astype(np.float64)
    low, high = begin - centre - search, end - centre + search
    b = np.pad(second.astype(np.float64)[max(0, low) : max(0, high)], (max(0, -low), max(0, high - len(second))))
    if len(a) < WINDOW or len(b) < len(a):
        return 0.0
    cross = signal.correlate(b, a, "valid", "fft")
    running = np.pad(np.cumsum(b**2), (1, 0))
    energy = running[len(a) :] - running[: len(running) - len(a)]
    norm = np.sqrt(np.maximum(energy, 0.0) * float((a**2).sum()))
    return float(np.max(np.abs(cross) / np.maximum(norm, 1e-9 + 1e-6 * norm.max())))
