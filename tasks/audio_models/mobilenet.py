"""MobileNetV3-Large (Howard et al., 2019) for one-channel spectrograms, with the weights' names of EfficientAT (Schmid et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CLASSES = 527
"""Of AudioSet."""
BLOCKS = (
    (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1), (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1), (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
)  # fmt: skip
"""Kernel, expanded and output channels, squeeze-and-excitation, hard-swish instead of ReLU, stride (table 1 of the paper)."""
FIRST, LAST = 16, 1280
"""Channels behind the first convolution, and of the hidden layer of the classifier."""


def divisible(channels: float, by: int = 8) -> int:
    """Round channels to a multiple of 8, not down by more than a tenth."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int, activation: nn.Module | None) -> nn.Sequential:
    """Return a convolution, its batch normalisation and, if any, an activation."""
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=0.001, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([activation] if activation else []))


class SqueezeExcitation(nn.Module):
    """Scales channels by what two layers make of their means (Hu et al., 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = divisible(channels // 4)
        self.fc1, self.fc2 = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Scale [B, channels, bands, frames]."""
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3))))))[:, :, None, None]


class ConcurrentExcitation(nn.Module):
    """EfficientAT's wrapper around squeeze-and-excitation of several axes; its published networks use channels only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([SqueezeExcitation(channels)])

    def forward(self, x: Tensor) -> Tensor:
        """Scale [B, channels, bands, frames]."""
        scaled: Tensor = self.conc_se_layers[0](x)
        return scaled


class InvertedResidual(nn.Module):
    """Expands, filters each channel by itself, and projects."""

    def __init__(self, inputs: int, kernel: int, expanded: int, outputs: int, squeezes: bool, hard: bool, stride: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(convolution(inputs, expanded, 1, 1, 1, _activation(hard)))
        layers.append(convolution(expanded, expanded, kernel, stride, expanded, _activation(hard)))
        if squeezes:
            layers.append(ConcurrentExcitation(expanded))
        layers.append(convolution(expanded, outputs, 1, 1, 1, None))
        self.block = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, bands, frames] to [B, outputs, …]."""
        found: Tensor = self.block(x)
        return found + x if self.adds else found


def _activation(hard: bool) -> nn.Module:
    return nn.Hardswish() if hard else nn.ReLU()


class MobileNet(nn.Module):
    """The network, its classifier included, so that a file of weights can be loaded strictly.

    Args:
        width: all channels are multiplied by it.
        classes: of the classifier.
    """

    def __init__(self, width: float, classes: int = CLASSES) -> None:
        super().__init__()
        channels = divisible(FIRST * width)
        layers: list[nn.Module] = [convolution(1, channels, 3, 2, 1, nn.Hardswish())]
        self.channels = [channels]
        """Output channels of each of ``features``."""
        for kernel, expanded, outputs, squeezes, hard, stride in BLOCKS:
            out = divisible(outputs * width)
            layers.append(InvertedResidual(channels, kernel, divisible(expanded * width), out, squeezes, hard, stride))
            channels = out
            self.channels.append(out)
        layers.append(convolution(channels, 6 * channels, 1, 1, 1, nn.Hardswish()))
        self.channels.append(6 * channels)
        self.features = nn.Sequential(*layers)
        hidden = divisible(LAST * width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(6 * channels, hidden), nn.Hardswish(), nn.Dropout(0.2),
            nn.Linear(hidden, classes),
        )  # fmt: skip

    def pooled(self, x: Tensor, places: Sequence[int]) -> Tensor:
        """Return the outputs of some of ``features``, averaged over bands and frames: [B, their channels] of spectrograms [B, 1, F, T]."""
        found = []
        for place, layer in enumerate(self.features[: max(places) + 1]):
            x = layer(x)
            if place in places:
                found.append(x.mean((2, 3)))
        return torch.cat(found, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [B, classes] of spectrograms [B, 1, bands, frames]."""
        logits: Tensor = self.classifier(self.features(x))
        return logits
