"""The three kinds of encoder behind one face: sounds in, one vector a clip out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from core import audio
from core.context import Context
from tasks.contrastive import encoder as encoders
from tasks.contrastive.embedder import Embedder
from tasks.contrastive.features import at_level, fitted, front_end, statistics
from tasks.embed.spec import Request

Array = npt.NDArray[np.float32]
RECORD = "training.json"


class Kind(Protocol):
    """What the stage asks for."""

    sample_rate_hz: int
    dimensions: int

    def __call__(self, sound: audio.Samples) -> tuple[Array, int]:
        """Return the embedding [d] of a sound [samples] at the encoder's rate, and the number of stretches looked at."""


@dataclass
class Network:
    """A frozen network; pooled over stretches."""

    embedder: Embedder

    @property
    def sample_rate_hz(self) -> int:
        """Of the sounds."""
        return self.embedder.encoder.sample_rate_hz

    @property
    def dimensions(self) -> int:
        """Of an embedding."""
        return self.embedder.dimensions

    def __call__(self, sound: audio.Samples) -> tuple[Array, int]:
        """See :class:`Kind`."""
        return self.embedder.clip(sound)


class MelStatistics:
    """Mean and standard deviation over time of each log-mel band of the whole clip.

    Args:
        name: of the front end.
        sample_rate_hz: of the sounds.
        level: ``as_is`` or ``peak``.
    """

    def __init__(self, name: str, sample_rate_hz: int, level: str) -> None:
        self.features, self.sample_rate_hz, self.level = front_end(name, sample_rate_hz), sample_rate_hz, level
        self.dimensions = 2 * self.features.shape[1]

    @torch.inference_mode()
    def __call__(self, sound: audio.Samples) -> tuple[Array, int]:
        """See :class:`Kind`; the clip is one stretch."""
        heard = at_level(torch.from_numpy(np.ascontiguousarray(sound)), self.level)
        longest = max(len(heard), self.features.window_samples)
        return statistics(self.features.log_mel(fitted(heard, longest))).numpy(), 1


def open_encoder(request: Request, context: Context) -> Kind:
    """Return the request's encoder, ready to embed.

    Raises:
        InvalidValueError: the checkpoint holds no encoder, or the front end has another rate.
    """
    settings = request.settings
    if request.encoder == "mel":
        return MelStatistics(settings.front_end, settings.sample_rate_hz, settings.level)
    if request.encoder == "trained":
        found = encoders.load(context.locate(request.checkpoint), context.device)
    else:
        sizes = {name: getattr(settings, name) for name in ("front_end", "sample_rate_hz", "width", "dimensions")}
        if request.checkpoint:
            sizes = encoders.load(context.locate(request.checkpoint)).config
        found = encoders.random_encoder(settings.seed, sizes, context.device)
    if settings.layers == "all":
        found.embedding = "all"
    return Network(Embedder(found, context.device, settings.level, settings.overlap, settings.pooling == "mean_std"))


def heard(request: Request, context: Context) -> set[str]:
    """Return the ids of the clips that a trained encoder has heard, as train_contrastive recorded them."""
    if request.encoder != "trained":
        return set()
    path = context.locate(request.checkpoint)
    folders = [path, *path.parents][:3]  # the training's folder, or epochs/NNNN below it, or a file in one of them
    record = next((folder / RECORD for folder in folders if (folder / RECORD).is_file()), Path())
    return set(json.loads(record.read_text())["heard"]) if record.is_file() else set()
