"""Dry clips as the spatial stages hear them: mono, one rate, one length. The same file gives the same samples everywhere."""

from __future__ import annotations

from pathlib import Path

from core import audio
from core.audio import Samples
from core.errors import InvalidValueError

RATE_HZ = 48_000
DURATION_S = 10.0


def load_dry(path: Path, sample_rate_hz: int = RATE_HZ, duration_s: float = DURATION_S) -> Samples:
    """Return a clip as float32 [duration_s · sample_rate_hz]: channels averaged, resampled, repeated when short, cut when long.

    Raises:
        InvalidValueError: the file holds no samples.
        soundfile.LibsndfileError: it is no sound file.
    """
    return fitted(audio.load_mono(path, sample_rate_hz), round(sample_rate_hz * duration_s), str(path))


def fitted(sound: Samples, samples: int, where: str = "dry clip") -> Samples:
    """Return a sound [T] at exactly ``samples`` samples: repeated from its start when short, cut when long (DISSE's and CLAP's way).

    Raises:
        InvalidValueError: it has no samples.
    """
    if not sound.shape[-1]:
        raise InvalidValueError("no samples", where=where, allowed="a sound", received=0)
    return audio.repeat_to(sound, samples)
