"""What every audio model offers: sounds of one sample rate in, one vector each out."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from core.errors import InvalidValueError

Reduction = Literal["avg", "max", "none"]
"""How a sound's moments become one vector: their mean, their maximum, or not at all."""


class AudioModel(nn.Module):
    """A frozen audio model. Subclasses say what they hear at each moment (:meth:`moments`).

    Args:
        name: what it is called.
        sample_rate_hz: of the sounds it takes.
        dimensions: of its vectors.
        includes_mel: whether log-mel levels are part of them.
        reduction: over time.
        digest: SHA-256 of its weights; empty: it has none. ``identity``, which a data set records, has its beginning.

    Raises:
        InvalidValueError: no such reduction.
    """

    def __init__(
        self, name: str, sample_rate_hz: int, dimensions: int, includes_mel: bool, reduction: Reduction = "avg", digest: str = ""
    ) -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            raise InvalidValueError("no such reduction", where="audio_model.reduction", allowed=get_args(Reduction), received=reduction)
        self.name, self.sample_rate_hz, self.dimensions, self.includes_mel = name, sample_rate_hz, dimensions, includes_mel
        self.reduction: Reduction = reduction
        self.identity = (f"{name}:{digest[:16]}" if digest else name) + ("" if reduction == "avg" else f"/{reduction}")

    def moments(self, audio: Tensor) -> Tensor:
        """Return the vectors [sounds, moments, dimensions] of sounds [sounds, samples] at the model's sample rate, full scale ±1."""
        raise NotImplementedError

    def forward(self, audio: Tensor) -> Tensor:
        """Return one vector for each sound, [sounds, dimensions] float32; without a reduction [sounds, moments, dimensions].

        Args:
            audio: [sounds, samples] at ``sample_rate_hz``, full scale ±1.

        Raises:
            InvalidValueError: sounds of another shape.
        """
        if audio.ndim != 2 or not audio.shape[1]:
            raise InvalidValueError("not a batch of sounds", where="audio_model", allowed="[sounds, samples]", received=tuple(audio.shape))
        return reduced(self.moments(audio.float()), self.reduction)


def reduced(moments: Tensor, reduction: Reduction) -> Tensor:
    """Return [sounds, dimensions] of [sounds, moments, dimensions]; unchanged for ``none``."""
    if reduction == "none":
        return moments
    return moments.mean(1) if reduction == "avg" else moments.amax(1)


def frozen(model: AudioModel, device: str | torch.device) -> AudioModel:
    """Return a model on a device, in evaluation mode, its weights not to be trained."""
    return model.to(device).eval().requires_grad_(False)
