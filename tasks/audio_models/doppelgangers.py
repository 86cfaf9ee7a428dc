"""The project's own contrastive encoder (``train_contrastive``) as an audio model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from core import keys
from tasks.audio_models.interface import AudioModel, Reduction
from tasks.contrastive.encoder import MODEL, Encoder, load

STRETCHES_AT_ONCE = 64


class Doppelgangers(AudioModel):
    """An encoder that looks at about a second at a time; a moment is a stretch of that length."""

    def __init__(self, encoder: Encoder, digest: str, reduction: Reduction = "avg") -> None:
        super().__init__(
            "doppelgangers", encoder.sample_rate_hz, encoder.dimensions, includes_mel=False, reduction=reduction,
            digest=digest,
        )  # fmt: skip
        self.encoder = encoder

    def moments(self, audio: Tensor) -> Tensor:
        """Return the embedding of each stretch [sounds, stretches, d]; see :class:`AudioModel`."""
        cut = torch.stack([self.encoder.features.stretches(sound) for sound in audio])  # alike in number, as the sounds in length
        found = torch.cat([self.encoder(part).float() for part in cut.flatten(0, 1).split(STRETCHES_AT_ONCE)])
        return found.unflatten(0, cut.shape[:2])


def open_doppelgangers(path: Path, device: str | torch.device, reduction: Reduction) -> Doppelgangers:
    """Load the encoder of a folder of ``train_contrastive``, or of its ``model.pt``.

    Raises:
        InvalidValueError: there is none.
    """
    encoder = load(path, device)
    return Doppelgangers(encoder, keys.file_digest(path / MODEL if path.is_dir() else path), reduction)
