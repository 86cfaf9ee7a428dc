"""The network that hears a log-mel spectrogram and says which preset made it (after InverSynth II, Barkan et al., 2023)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import InvalidValueError
from tasks.presets.layout import Layout
from tasks.presets.parameters import SynthSpec
from tasks.training.weights import save_weights

MODEL = "model.pt"
"""File of a trained estimator below its folder."""
CHANNELS = (8, 16, 32, 64, 128, 256, 512)
"""Of the published convolutions."""
MIXED, DROPOUT, SLOPE = 2048, 0.3, 0.1
"""Of the spectrogram; those that ``render_presets`` keeps are the same."""


class Estimator(nn.Module):
    """Convolutions of stride 2, one of width 1, their mean, dropout, a linear layer and a batch normalisation.

    Its outputs [B, width] are logits in the order of a relaxed preset: those of numbers and switches, then a block for each category.
    The first convolution has kernel 5, the others 4; batch normalisation follows every one but the first, after its activation.

    Args:
        width: outputs, ``Layout.width``.
        channels: of the convolutions.
        mixed: channels of the convolution of width 1.
        dropout: before the linear layer.
    """

    def __init__(self, width: int, channels: tuple[int, ...] = CHANNELS, mixed: int = MIXED, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.config = {"width": width, "channels": list(channels), "mixed": mixed, "dropout": dropout}
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip((1, *channels), channels, strict=False)):
            layers += [nn.Conv2d(inputs, outputs, 4 if number else 5, stride=2, padding=2), nn.LeakyReLU(SLOPE)]
            layers += [nn.BatchNorm2d(outputs)] if number else []
        self.features = nn.Sequential(*layers, nn.Conv2d(channels[-1], mixed, 1), nn.LeakyReLU(SLOPE))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(mixed, width), nn.BatchNorm1d(width))
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(part.weight, a=SLOPE, nonlinearity="leaky_relu")
        self.register_buffer("middle", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def forward(self, levels: Tensor) -> Tensor:
        """Return logits [B, width] of log-mel levels [B, 128, frames]."""
        features: Tensor = self.features(((levels - self.middle) / self.spread)[:, None])
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits

    @torch.no_grad()
    def set_normalisation(self, middle: float, spread: float) -> None:
        """Set mean and standard deviation of the training sounds' levels, which levels are measured from and in."""
        self.middle.fill_(middle)
        self.spread.fill_(spread)


def save(path: Path, estimator: Estimator, spec: SynthSpec, made: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write an estimator; the same weights give the same bytes.

    Args:
        path: the file.
        estimator: the weights.
        spec: of the synthesiser.
        made: how the sounds were made that it was trained on (``PresetSet.meta``), so that presets it finds can be played.
        about: plain values kept beside.
    """
    texts = {"spec": json.dumps(spec.to_json(), sort_keys=True), "made": json.dumps(dict(made), sort_keys=True)}
    save_weights(path, estimator.state_dict(), {**about, **texts, "sizes": estimator.config})


def load(folder: Path, device: str | torch.device = "cpu") -> tuple[Estimator, Layout, dict[str, Any], dict[str, Any]]:
    """Return a trained estimator in evaluation mode, the layout of its presets, how its sounds were made, and what was noted with it.

    Args:
        folder: of train_sound_matcher, or a file of weights in it.
        device: where the weights go.

    Raises:
        InvalidValueError: no estimator there.
    """
    path = Path(folder) / MODEL if Path(folder).is_dir() else Path(folder)
    if not path.is_file():
        allowed = f"a folder of train_sound_matcher with {MODEL}"
        raise InvalidValueError("no trained sound matcher", where=str(folder), allowed=allowed, received=path.name)
    saved = torch.load(path, weights_only=True, map_location="cpu")
    config = dict(saved["config"])
    spec = SynthSpec.from_json(json.loads(config.pop("spec")), str(path))
    made, sizes = json.loads(config.pop("made")), config["sizes"]
    estimator = Estimator(sizes["width"], tuple(sizes["channels"]), sizes["mixed"], sizes["dropout"])
    estimator.load_state_dict(saved["state"])
    return estimator.to(device).eval().requires_grad_(False), Layout(spec), made, config
