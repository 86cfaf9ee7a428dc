"""VAEDeep, SynTone's one network for all methods, and how a trained one is kept in a folder."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import InvalidValueError
from tasks.training.weights import save_weights

MODEL = "model.pt"
"""File of a trained model below its folder: ``state`` and ``config``, tensors and plain values only."""
CHANNELS = (16, 32, 64)
"""Channels of the three convolutions; each halves height and width."""
HIDDEN = (128, 64)
"""Widths of the two fully connected layers between the convolutions and the codes."""
FACTOR = 2 ** len(CHANNELS)
"""What height and width must be multiples of."""
SLOPE = 0.01
"""Of LeakyReLU below zero."""


class VAEDeep(nn.Module):
    """Convolutional variational autoencoder with torch's default initial weights; 1,117,521 parameters for 8 codes and [1, 128, 32].

    Args:
        latent: number of codes D.
        mels: height of the input.
        frames: width of the input.

    Raises:
        InvalidValueError: height or width is no multiple of 8.
    """

    def __init__(self, latent: int = 8, mels: int = 128, frames: int = 32) -> None:
        super().__init__()
        for name, size in (("mels", mels), ("frames", frames)):
            if size < FACTOR or size % FACTOR:
                below = size // FACTOR * FACTOR
                allowed = f"a multiple of {FACTOR}, such as {below or FACTOR} or {below + FACTOR}"
                hint = "mels is a setting of featurise; the frames follow from the clips' length and its hop"
                raise InvalidValueError(
                    f"each of {len(CHANNELS)} levels halves the input", where=f"vae.{name}", allowed=allowed, received=size, hint=hint
                )
        self.latent, self.mels, self.frames = latent, mels, frames
        self.small = (CHANNELS[-1], mels // FACTOR, frames // FACTOR)
        flat = self.small[0] * self.small[1] * self.small[2]
        levels = list(zip((1, *CHANNELS[:-1]), CHANNELS, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in levels)
        self.encoder = nn.Sequential(nn.Linear(flat, HIDDEN[0]), _leaky(), nn.Linear(HIDDEN[0], HIDDEN[1]), _leaky())
        self.to_mean, self.to_log_variance = nn.Linear(HIDDEN[1], latent), nn.Linear(HIDDEN[1], latent)
        widths = (latent, HIDDEN[1], HIDDEN[0], flat)
        self.decoder = nn.Sequential(*[part for before, after in pairwise(widths) for part in (nn.Linear(before, after), _leaky())])
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(after, before, 3, stride=2, padding=1, output_padding=1) for before, after in reversed(levels)
        )

    @property
    def config(self) -> dict[str, int]:
        """What :class:`VAEDeep` is built with."""
        return {"latent": self.latent, "mels": self.mels, "frames": self.frames}

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), both [clips, D], of features [clips, 1, mels, frames].

        Raises:
            InvalidValueError: features of another shape.
        """
        if tuple(features.shape[1:]) != (1, self.mels, self.frames):
            allowed = f"[clips, 1, {self.mels}, {self.frames}]"
            raise InvalidValueError("features of another shape", where="vae.encode", allowed=allowed, received=tuple(features.shape))
        for layer in self.down:
            # Pooling before LeakyReLU gives the same numbers as after it, since LeakyReLU never falls, and has a quarter of the work.
            features = nn.functional.leaky_relu(nn.functional.max_pool2d(layer(features), 2), SLOPE)
        hidden = self.encoder(features.flatten(1))
        return self.to_mean(hidden), self.to_log_variance(hidden)

    def decode(self, codes: Tensor) -> Tensor:
        """Return features in (0, 1) [clips, 1, mels, frames] of codes [clips, D]."""
        features = self.decoder(codes).unflatten(1, self.small)
        for number, layer in enumerate(self.up):
            features = layer(features if number == 0 else nn.functional.leaky_relu(features, SLOPE))
        return torch.sigmoid(features)

    def sample(self, mean: Tensor, log_variance: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw z = mean + ε · exp(log_variance / 2), ε ~ N(0, 1), in training and evaluation alike; all [clips, D].

        Args:
            mean: of q(z|x).
            log_variance: of q(z|x).
            generator: CPU generator that ε comes from, whatever the device; torch's global one by default.
        """
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
        return mean + noise * torch.exp(0.5 * log_variance)

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return reconstruction [clips, 1, mels, frames], sampled codes, mean and log-variance [clips, D]."""
        mean, log_variance = self.encode(features)
        codes = self.sample(mean, log_variance, generator)
        return self.decode(codes), codes, mean, log_variance


def _leaky() -> nn.LeakyReLU:
    return nn.LeakyReLU(SLOPE)


def parameter_count(module: nn.Module) -> int:
    """Return the number of weights."""
    return sum(part.numel() for part in module.parameters())


def save(folder: Path, model: VAEDeep, about: dict[str, Any]) -> None:
    """Write a model; the same weights give the same bytes.

    Args:
        folder: where :data:`MODEL` goes.
        model: the weights.
        about: plain values that are kept in ``config`` beside the sizes (method, seed, settings).
    """
    save_weights(folder / MODEL, model.state_dict(), {**about, **model.config})


def load(folder: Path, device: str | torch.device = "cpu") -> VAEDeep:
    """Return the trained model of a folder that train_vae wrote, in evaluation mode.

    Raises:
        InvalidValueError: the folder holds no model.
    """
    path = Path(folder) / MODEL
    if not path.is_file():
        raise InvalidValueError("no trained model", where=str(folder), allowed=f"a folder of train_vae with {MODEL}", received=path.name)
    saved = torch.load(path, weights_only=True, map_location="cpu")
    config = saved["config"]
    model = VAEDeep(config["latent"], config["mels"], config["frames"])
    model.load_state_dict(saved["state"])
    return model.to(device).eval().requires_grad_(False)
