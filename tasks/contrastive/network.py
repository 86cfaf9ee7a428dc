"""ResNet-18 (He et al., 2016) for spectrograms of one channel, with batch statistics of the whole batch however many ranks share it.

Written out rather than taken from torchvision, which the training environment does not have: its names of weights and its first weights are
kept (checkpoints load either way), and widths, and batch norm over ranks on any device, are ours to choose.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from tasks.training.distributed import gather_with_gradient, world

LAYERS = ("layer1", "layer2", "layer3", "layer4")
"""The residual layers, each of two blocks."""


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the rows of all ranks (torch's SyncBatchNorm needs a GPU); all ranks must have equally many rows."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [rows, channels, height, width], normalised."""
        if not self.training or world() == 1:
            return super().forward(inputs)
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        axes = (0, 2, 3)
        # In the weights' type: under autocast the statistics would have 8 bits.
        values = inputs.to(self.weight.dtype)
        own = torch.stack([values.mean(axes), values.var(axes, correction=0)])
        ranks = gather_with_gradient(own[None], world())  # [ranks, 2, channels]
        mean = ranks[:, 0].mean(0)
        variance = (ranks[:, 1] + (ranks[:, 0] - mean) ** 2).mean(0)  # equal parts: Chan et al., 1979
        with torch.no_grad():
            count = inputs.numel() // inputs.shape[1] * world()
            share = self.momentum if self.momentum is not None else 0.1
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), share)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return ((values - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]).to(inputs.dtype)


class Block(nn.Module):
    """Two 3×3 convolutions and a way around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False), WholeBatchNorm(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, padding=1, bias=False), WholeBatchNorm(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), WholeBatchNorm(after))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [rows, after, height / stride, width / stride]."""
        around = inputs if self.downsample is None else self.downsample(inputs)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(inputs))))) + around)


class ResNet18(nn.Module):
    """Spectrograms → embeddings; 11,432,960 weights with one channel, width 64 and 512 dimensions.

    Args:
        dimensions: of an embedding; there is no projection behind it.
        channels: 1: a first convolution of its own, with a bias and torch's first weights, as published. 3: the spectrogram three times,
            and ImageNet's first convolution.
        width: channels of the first layer, doubled three times.
    """

    def __init__(self, dimensions: int = 512, channels: int = 1, width: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=channels == 1)
        self.bn1, self.relu = WholeBatchNorm(width), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        for number, (before, after) in enumerate(pairwise(widths), start=1):
            layer = nn.Sequential(Block(before, after, 1 if number == 1 else 2), Block(after, after, 1))
            setattr(self, f"layer{number}", layer)
        self.fc = nn.Linear(widths[-1], dimensions)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not (name == "conv1" and channels == 1):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor, embedding: str = "last") -> Tensor:
        """Return embeddings [rows, dimensions] of features [rows, 1, frames, mels].

        Args:
            features: of the front end.
            embedding: ``last``: the output. ``layer1`` … ``layer4``: the means of a layer's channels, [rows, width] … [rows, 8 · width].
                ``all``: those of all four layers, and the output behind them.
        """
        found = features.expand(-1, self.channels, -1, -1).contiguous(memory_format=torch.channels_last)
        found = self.maxpool(self.relu(self.bn1(self.conv1(found))))
        means: list[Tensor] = []
        for name in LAYERS:
            found = getattr(self, name)(found)
            means.append(found.mean((2, 3)))
            if name == embedding:
                return means[-1]
        output: Tensor = self.fc(means[-1])
        return torch.cat([*means, output], 1) if embedding == "all" else output

    def size(self, embedding: str) -> int:
        """Return the number of dimensions of an embedding, see :meth:`forward`."""
        width, output = self.conv1.out_channels, self.fc.out_features
        return {"last": output, "all": 15 * width + output}.get(embedding) or width * 2 ** LAYERS.index(embedding)
