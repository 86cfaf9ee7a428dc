"""The spatial branch: two small convolutional networks over the active and the reactive intensity, and the attributes they tell.

The names of the weights are DISSE's and those of its pre-trained spatial branch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.spatial_model.sizes import Sizes


class AddCoordinates(nn.Module):
    """Appends two maps that say where on the map one is, from −1 to 1 (CoordConv, Liu et al., 2018)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return [rows, channels + 2, height, width]: y (frequency) and x (time) behind the channels."""
        rows, _, height, width = maps.shape
        y = torch.linspace(-1, 1, height, device=maps.device, dtype=maps.dtype)
        x = torch.linspace(-1, 1, width, device=maps.device, dtype=maps.dtype)
        places = torch.stack(torch.meshgrid(y, x, indexing="ij"))
        return torch.cat([maps, places.expand(rows, -1, -1, -1)], 1)


class Branch(nn.Module):
    """Blocks of convolution, batch norm, pooling by 2 and ELU over intensity maps [rows, 3, bins, frames]; flattened in the end."""

    def __init__(self, blocks: int, channels: int, dropout: float) -> None:
        super().__init__()

        def block(before: int, *first: nn.Module) -> nn.Sequential:
            return nn.Sequential(*first, nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.MaxPool2d(2), nn.ELU())

        self.cnn = nn.Sequential(block(5, AddCoordinates()), *(block(channels) for _ in range(blocks - 1)))
        self.flat = nn.Sequential(nn.Flatten(), nn.Dropout(dropout))

    def forward(self, maps: Tensor) -> Tensor:
        """Return [rows, features]; 1,200 of maps of 201 × 1,601."""
        return self.flat(self.cnn(maps))


class SpatialBranch(nn.Module):
    """Both branches side by side, 2,400 → 128 → 32 → 44; 337,964 weights in DISSE's size."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        build = (sizes.branch_blocks, sizes.branch_channels, sizes.branch_dropout)
        self.act, self.rea = Branch(*build), Branch(*build)
        first, second = sizes.attribute_hidden
        self.mlp = nn.Sequential(
            nn.Linear(2 * sizes.branch_features, first), nn.ELU(), nn.Linear(first, second), nn.ELU(), nn.Linear(second, sizes.attributes)
        )

    def forward(self, active: Tensor, reactive: Tensor) -> Tensor:
        """Return attributes [rows, 44]: azimuth, elevation, distance, volume, 20 × DRR, 20 × T30 (see :mod:`attributes`)."""
        return self.mlp(torch.cat([self.act(active), self.rea(reactive)], 1))
