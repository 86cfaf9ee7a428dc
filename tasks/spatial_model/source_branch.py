"""The source branch: log-mel spectrogram of W in the graph, then CLAP's HTSAT or a small convolutional network."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ClapAudioConfig, ClapAudioModel

from tasks.spatial_features.log_mel import ClapMel
from tasks.spatial_model.sizes import Sizes


def log_mel(sizes: Sizes) -> ClapMel:
    """Return the spectrogram that both kinds of source branch look at."""
    return ClapMel(sizes.mel_truncation, sizes.sample_rate_hz, sizes.mel_low_hz, sizes.mel_high_hz, sizes.mels)


class HTSAT(nn.Module):
    """transformers' CLAP audio model behind its log-mel spectrogram; no clip counts as longer than the input, so fusion stays out."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.mel = log_mel(sizes)
        self.model = ClapAudioModel(ClapAudioConfig(**_plain(sizes.htsat)))
        self.width: int = self.model.config.hidden_size

    def forward(self, waves: Tensor) -> Tensor:
        """Return pooled features [rows, width] of W [rows, samples]."""
        longer = torch.zeros(len(waves), 1, dtype=torch.bool, device=waves.device)
        pooled: Tensor = self.model(input_features=self.mel(waves), is_longer=longer).pooler_output
        return pooled


class SoundCNN(nn.Module):
    """Blocks of convolution, batch norm, ReLU and pooling; mean over frequency, mean plus maximum over time (PANNs, Kong et al., 2020)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.mel, self.norm = log_mel(sizes), nn.BatchNorm2d(sizes.mels)
        widths = (1, *sizes.cnn_widths)
        self.blocks = nn.Sequential(*(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True), nn.AvgPool2d(2))
            for before, after in pairwise(widths)
        ))  # fmt: skip
        self.width = widths[-1]

    def forward(self, waves: Tensor) -> Tensor:
        """Return features [rows, width] of W [rows, samples]."""
        bands = self.norm(self.mel(waves).transpose(1, 3)).transpose(1, 3)
        maps = self.blocks(bands).mean(3)
        return maps.mean(2) + maps.amax(2)


def source_branch(sizes: Sizes) -> HTSAT | SoundCNN:
    """Return the source branch of a size."""
    return HTSAT(sizes) if sizes.source == "htsat" else SoundCNN(sizes)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    # A model type or a version that came along from a file is not an argument.
    return {name: value for name, value in values.items() if name not in ("model_type", "transformers_version", "architectures")}
