"""What views may go through: five alterations of the waveform, two ways to mask the spectrogram. Every choice hangs on seed, pair and view.

The published ones (torch-audiomentations, torchaudio) with their numbers; per pair instead of per batch, and masks on the axes they are
named after: the published code masks mels where it means frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torchaudio
from torch import Tensor

from core import audio
from core.errors import InvalidValueError

CHANCE = 0.5
"""Of each alteration of the waveform."""
HIGH_PASS_HZ, LOW_PASS_HZ = (20.0, 800.0), (1200.0, 8000.0)
MOST_SEMITONES, MOST_SHIFT = 2.0, 0.25
FFT, HOP = 512, 128
"""Of the phase vocoder."""
MASKS: dict[str, tuple[list[int], list[int], float]] = {
    "masking": ([40], [40], 0.2), "specaugment": ([20] * 2, [40] * 4, 0.4), "recording": ([10], [20], 1.0),
}  # fmt: skip
"""Widest masks in mels and in frames by transform, and the largest share of the frames that one covers."""


def impulse_responses(folder: str, sample_rate_hz: int) -> list[audio.Samples]:
    """Return the impulse responses [samples] of a folder of sound files, mono, of unit energy; none for no folder.

    Raises:
        InvalidValueError: the folder holds no sound file.
    """
    if not folder:
        return []
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".wav", ".flac", ".ogg", ".aif", ".aiff"))
    if not paths:
        where = "train_contrastive.impulse_responses"
        raise InvalidValueError("no impulse responses", where=where, allowed="a folder of sound files", received=folder)
    sounds = [audio.load_mono(path, sample_rate_hz) for path in paths]
    return [sound / max(1e-9, float(np.sqrt(np.sum(sound**2)))) for sound in sounds]


def alter_waveforms(
    sounds: Tensor, sample_rate_hz: int, responses: Sequence[audio.Samples], generators: Sequence[np.random.Generator]
) -> Tensor:
    """Return sounds [pairs, samples] after high-pass, low-pass, pitch shift, shift and, where there are responses, a room; each by chance.

    Args:
        sounds: [pairs, samples].
        sample_rate_hz: of the sounds.
        responses: impulse responses.
        generators: one for each sound.
    """
    return torch.stack([_alter(sound, sample_rate_hz, responses, rng) for sound, rng in zip(sounds, generators, strict=True)])


def _alter(sound: Tensor, rate_hz: int, responses: Sequence[audio.Samples], rng: np.random.Generator) -> Tensor:
    # Everything is drawn first, so that one alteration's being off does not change another's numbers.
    high, low, semitones, shift = rng.uniform(*HIGH_PASS_HZ), rng.uniform(*LOW_PASS_HZ), rng.uniform(-1, 1), rng.uniform(-1, 1)
    number, on = int(rng.integers(max(1, len(responses)))), rng.random(5) < CHANCE
    if on[0]:
        sound = passed(sound, rate_hz, high, "high")
    if on[1]:
        sound = passed(sound, rate_hz, min(low, 0.49 * rate_hz), "low")
    if on[2]:
        sound = pitch_shift(sound, MOST_SEMITONES * semitones)
    if on[3]:
        sound = sound.roll(round(MOST_SHIFT * shift * len(sound)))
    if on[4] and responses:
        sound = convolved(sound, torch.from_numpy(responses[number]).to(sound))
    return sound


def passed(sound: Tensor, rate_hz: int, cutoff_hz: float, kind: str) -> Tensor:
    """Return a sound [samples] behind a Butterworth filter of second order, ``high`` or ``low``.

    Multiplied in the spectrum of the sound and as much silence, so that the filter's tail does not come round to the beginning.
    """
    size = 2 * len(sound)
    spectrum = torch.fft.rfft(sound, size)
    turn = torch.linspace(0, torch.pi, len(spectrum), device=sound.device, dtype=torch.float64)
    # Bilinear transform: the analogue frequency, relative to the cutoff's, is tan(ω/2) / tan(ω_c/2).
    s = 1j * (torch.tan(turn.clamp(max=torch.pi - 1e-9) / 2) / np.tan(np.pi * cutoff_hz / rate_hz))
    response = (s * s if kind == "high" else torch.ones_like(s)) / (s * s + np.sqrt(2) * s + 1)
    return torch.fft.irfft(spectrum * response.to(spectrum.dtype), size)[: len(sound)]


def pitch_shift(sound: Tensor, semitones: float) -> Tensor:
    """Return a sound [samples] moved in pitch: stretched by a phase vocoder (Laroche & Dolson, 1999) and resampled to its length.

    As with any plain vocoder, neighbouring bins lose their common phase: a steady tone may come out up to 4 dB softer.
    """
    factor = 2 ** (semitones / 12)
    window = torch.hann_window(FFT, device=sound.device)
    spectrum = torch.stft(sound, FFT, HOP, window=window, return_complex=True)
    advance = torch.linspace(0, torch.pi * HOP, FFT // 2 + 1, device=sound.device)[:, None]
    stretched = torchaudio.functional.phase_vocoder(spectrum, 1 / factor, advance)
    length = round(len(sound) * factor)
    longer = torch.istft(stretched, FFT, HOP, window=window, length=length)
    bins, size = torch.fft.rfft(longer), len(sound) // 2 + 1
    kept = torch.nn.functional.pad(bins, (0, max(0, size - len(bins))))[:size]  # as wide as the new rate has room for: no aliases
    return torch.fft.irfft(kept, len(sound)) * (len(sound) / length)


def convolved(sound: Tensor, response: Tensor) -> Tensor:
    """Return a sound [samples] in a room with an impulse response [samples], cut to its own length."""
    size = len(sound) + len(response) - 1
    return torch.fft.irfft(torch.fft.rfft(sound, size) * torch.fft.rfft(response, size), size)[: len(sound)]


def mask(features: Tensor, kind: str, generators: Sequence[np.random.Generator]) -> Tensor:
    """Return features [pairs, 1, frames, mels] with stretches set to each one's mean.

    Args:
        features: not changed.
        kind: ``masking``: one mask of up to 40 mels and one of up to 40 frames, but no more than 0.2 of them. ``specaugment`` (Park et al.,
            2019): 2 masks of up to 20 mels and 4 of up to 40 frames, but no more than 0.4 of them. ``recording``: one of up to 10 mels and
            one of up to 20 frames.
        generators: one for each pair.
    """
    mels, frames, share = MASKS[kind]
    found = features.clone()
    for item, rng in zip(found, generators, strict=True):
        mean = float(item.mean())
        for axis, widths, most in ((-1, mels, 1.0), (-2, frames, share)):
            size = item.shape[axis]
            for width in widths:
                length = int(rng.uniform(0, min(width, most * size)))
                start = int(rng.integers(size - length + 1))
                item.narrow(axis, start, length).fill_(mean)
    return found
