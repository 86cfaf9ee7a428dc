"""The encoder, from sound to embedding, and how a trained one is kept in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import InvalidValueError
from tasks.contrastive.features import front_end
from tasks.contrastive.network import ResNet18
from tasks.training.weights import save_weights

MODEL = "model.pt"
"""File of an encoder below its folder: ``state`` and ``config``, tensors and plain values only."""
SIZES = ("front_end", "sample_rate_hz", "dimensions", "channels", "width", "embedding")


class Encoder(nn.Module):
    """A front end and the network behind it.

    Args:
        front_end_name: ``vggish`` or ``simple``.
        sample_rate_hz: of the sounds.
        dimensions: of the network's output.
        channels: 1 or 3, see :class:`ResNet18`.
        width: channels of the network's first layer.
        embedding: which of its layers embeds, see :meth:`ResNet18.forward`.
    """

    def __init__(
        self, front_end_name: str = "vggish", sample_rate_hz: int = 16000, dimensions: int = 512, channels: int = 1, width: int = 64,
        embedding: str = "last",
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = dict(zip(SIZES, (front_end_name, sample_rate_hz, dimensions, channels, width, embedding), strict=True))
        self.features = front_end(front_end_name, sample_rate_hz)
        self.network = ResNet18(dimensions, channels, width)
        self.embedding, self.sample_rate_hz = embedding, sample_rate_hz

    @property
    def dimensions(self) -> int:
        """Of an embedding."""
        return self.network.size(self.embedding)

    def forward(self, sounds: Tensor) -> Tensor:
        """Return embeddings [sounds, dimensions] of the first stretch of sounds [sounds, samples]."""
        found: Tensor = self.network(self.features(sounds), self.embedding)
        return found

    def weights(self) -> int:
        """Return the number of trained weights."""
        return sum(part.numel() for part in self.network.parameters())


def save(folder: Path, encoder: Encoder, about: dict[str, Any]) -> None:
    """Write an encoder; the same weights give the same bytes.

    Args:
        folder: where :data:`MODEL` goes.
        encoder: the weights.
        about: plain values that are kept in ``config`` beside the sizes (seed, settings, step).
    """
    save_weights(folder / MODEL, encoder.network.state_dict(), {**about, **encoder.config})


def load(path: Path, device: str | torch.device = "cpu") -> Encoder:
    """Return a trained encoder in evaluation mode; ``path`` is its folder or the file itself.

    Raises:
        InvalidValueError: there is none.
    """
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        raise InvalidValueError(
            "no trained encoder", where=str(path), allowed=f"a folder of train_contrastive with {MODEL}", received=file.name
        )
    saved = torch.load(file, weights_only=True, map_location="cpu")
    encoder = _of_sizes(saved["config"])
    encoder.network.load_state_dict(saved["state"])
    return frozen(encoder, device)


def random_encoder(seed: int, sizes: dict[str, Any], device: str | torch.device = "cpu") -> Encoder:
    """Return an untrained encoder in evaluation mode; the same seed gives the same weights as a training's first ones.

    Args:
        seed: of the weights.
        sizes: arguments of :class:`Encoder` by the names of :data:`SIZES`; missing ones are its defaults.
        device: where it goes.
    """
    generator_state = torch.get_rng_state()
    torch.manual_seed(seed)
    encoder = _of_sizes(sizes)
    torch.set_rng_state(generator_state)
    return frozen(encoder, device)


def _of_sizes(sizes: dict[str, Any]) -> Encoder:
    """Return an encoder of some sizes by the names of :data:`SIZES`; what is missing, also in an older file, is the default."""
    return Encoder(**{{"front_end": "front_end_name"}.get(name, name): sizes[name] for name in SIZES if name in sizes})


def frozen(encoder: Encoder, device: str | torch.device) -> Encoder:
    """Return the encoder on a device, ready to embed; channels last in memory, as its convolutions like it."""
    return encoder.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
