"""Embeddings of whole clips: the encoder looks at a second at a time, a clip's embedding is the mean over its stretches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from core import audio
from tasks.contrastive.encoder import Encoder
from tasks.contrastive.features import at_level

Array = npt.NDArray[np.float32]
STRETCHES_AT_ONCE = 64
"""Of one clip; clips are never put into one batch, so that a clip's embedding hangs on nothing but the clip."""


class Embedder:
    """Embeds clips with a frozen encoder.

    Args:
        encoder: in evaluation mode.
        device: that it is on.
        level: ``as_is``, or ``peak``: each clip is scaled to a peak of 1 first.
        overlap: share of a stretch that the next one repeats, 0 … below 1.
        spread: put the deviation over the stretches behind their mean; 0 for a single one.
    """

    def __init__(self, encoder: Encoder, device: str = "cpu", level: str = "as_is", overlap: float = 0.0, spread: bool = False) -> None:
        self.encoder, self.device, self.level, self.spread = encoder, device, level, spread
        self.hop = max(1, round(encoder.features.hop_samples * (1 - overlap)))

    @property
    def dimensions(self) -> int:
        """Of a clip's embedding."""
        return self.encoder.dimensions * (2 if self.spread else 1)

    @torch.inference_mode()
    def stretches(self, sound: audio.Samples) -> Array:
        """Return an embedding for each stretch [stretches, d] of a sound [samples] at the encoder's rate."""
        cut = self.encoder.features.stretches(at_level(torch.from_numpy(np.ascontiguousarray(sound)), self.level), self.hop)
        parts = [self.encoder(part.to(self.device)).float().cpu() for part in cut.split(STRETCHES_AT_ONCE)]
        return np.asarray(torch.cat(parts).numpy())

    def clip(self, sound: audio.Samples) -> tuple[Array, int]:
        """Return the embedding [d] of a sound [samples] at the encoder's rate, and the number of its stretches."""
        found = self.stretches(sound).astype(np.float64)
        pooled = [found.mean(axis=0), *([found.std(axis=0)] if self.spread else [])]
        return np.concatenate(pooled).astype(np.float32), len(found)
