"""Sound files → unit-length embeddings of a trained encoder, for stages that compare sounds: retrieval, filter, measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core import audio
from core.audio_checks import Limits, Unusable, heard
from tasks.contrastive.embedder import Embedder
from tasks.contrastive.encoder import load

LIMITS = Limits(min_duration_s=0.0, max_duration_s=3600.0)
DIGITS = 5
"""Embeddings are rounded, so that the last bits of a sum in another order change no result."""


class ClipEmbedder:
    """A trained encoder.

    Args:
        path: folder of train_contrastive, one of its ``epochs/``, or a ``model.pt``.
        device: where it works.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.embedder = Embedder(load(path, device), device)

    def unit(self, sound: audio.Samples, sample_rate_hz: int) -> npt.NDArray[np.float64]:
        """Return the embedding [d] of a sound [samples] at unit length."""
        vector = self.embedder.clip(audio.resample(sound, sample_rate_hz, self.embedder.encoder.sample_rate_hz))[0].astype(np.float64)
        return np.asarray(np.round(vector / max(1e-9, float(np.linalg.norm(vector))), DIGITS))

    def sounds(self, paths: Mapping[str, Path]) -> tuple[dict[str, npt.NDArray[np.float64]], dict[str, Unusable | OSError]]:
        """Decode and embed clips; returns unit-length embeddings by clip_id, and why other clips are unusable."""
        return heard(paths, LIMITS, self.unit)
