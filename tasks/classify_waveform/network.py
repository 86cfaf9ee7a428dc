"""SynTone's waveform classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WaveformClassifier(nn.Module):
    """Two convolutions (1 → 16, width 5; 16 → 32, width 3; same length), each with ReLU and max-pooling by 2, then 64 units, then classes.

    Args:
        samples: length of the clips.
        classes: waveforms.
    """

    def __init__(self, samples: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, 16, 5, padding=2)
        self.conv2 = nn.Conv1d(16, 32, 3, padding=1)
        self.pool = nn.MaxPool1d(2)
        self.fc1 = nn.Linear(32 * (samples // 4), 64)
        self.fc2 = nn.Linear(64, classes)

    def forward(self, sounds: Tensor) -> Tensor:
        """Sounds [clips, 1, samples] → logits [clips, classes]."""
        found = self.pool(torch.relu(self.conv1(sounds)))
        found = self.pool(torch.relu(self.conv2(found)))
        return self.fc2(torch.relu(self.fc1(found.flatten(1))))
