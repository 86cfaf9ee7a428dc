"""FOA sound as float32 WAV whose bytes hang on the samples alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import wavfile

from core import atomic
from core.audio import Samples


def write_float(path: Path, samples: Samples, sample_rate_hz: int) -> None:
    """Write [channels, samples] as float32 WAV, atomically; levels above full scale stay.

    libsndfile puts the time of day into such files (the PEAK chunk), so that the same sound would have another digest every second;
    SciPy's writer does not.
    """
    with atomic.replacing(path) as temporary, temporary.open("wb") as handle:
        wavfile.write(handle, sample_rate_hz, np.ascontiguousarray(samples.T, dtype=np.float32))
