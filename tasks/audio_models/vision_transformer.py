"""The Vision Transformer's pieces (Dosovitskiy et al., 2021) with the weights' names of timm; PaSST and AudioMAE are built of them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

EPSILON = 1e-6
"""Of the layer normalisations."""
PATCH = 16
"""Bands, and frames, of a patch."""


class Size(NamedTuple):
    """Of a transformer."""

    depth: int
    """Blocks."""
    width: int
    """Dimensions of a token."""
    heads: int
    """Of the attention."""


class Attention(nn.Module):
    """Self-attention with several heads; queries, keys and values of all heads come out of one layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, tokens, width]."""
        queries, keys, values = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heard = nn.functional.scaled_dot_product_attention(queries, keys, values)
        mixed: Tensor = self.proj(heard.transpose(1, 2).flatten(2))
        return mixed


class FeedForward(nn.Module):
    """Two layers with a GELU between, four times as wide there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, tokens, width]."""
        found: Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
        return found


class Block(nn.Module):
    """Attention and feed-forward layers, each behind a normalisation and added to what went in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, EPSILON), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, EPSILON), FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, tokens, width]."""
        x = x + self.attn(self.norm1(x))
        summed: Tensor = x + self.mlp(self.norm2(x))
        return summed


class Patches(nn.Module):
    """Makes a token of every patch of a one-channel spectrogram."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, PATCH, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens [B, width, rows, columns] of spectrograms [B, 1, …, …]."""
        found: Tensor = self.proj(x)
        return found


def blocks(size: Size) -> nn.Sequential:
    """Return all blocks of a transformer."""
    return nn.Sequential(*(Block(size.width, size.heads) for _ in range(size.depth)))
