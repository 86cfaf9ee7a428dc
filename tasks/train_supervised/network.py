"""Clips as pictures, and the network that is trained on stretches of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from core import audio
from tasks.contrastive.features import FrontEnd, fitted
from tasks.contrastive.network import ResNet18

STRETCHES_AT_ONCE = 64


def pictures(sound: audio.Samples, front_end: FrontEnd) -> Tensor:
    """Return the log-mel levels [frames, mels] of a whole clip [samples]; a short one is padded to a stretch."""
    heard = torch.from_numpy(np.ascontiguousarray(sound))
    return front_end.log_mel(fitted(heard, max(len(heard), front_end.window_samples)))


def drawn(levels: Sequence[Tensor], frames: int, generator: torch.Generator) -> Tensor:
    """Return a stretch of each clip at a random place, [clips, 1, frames, mels]."""
    starts = [int(torch.randint(len(one) - frames + 1, (), generator=generator)) for one in levels]
    return torch.stack([one[start : start + frames] for one, start in zip(levels, starts, strict=True)])[:, None]


def side_by_side(levels: Tensor, frames: int) -> Tensor:
    """Return a clip's stretches [number, 1, frames, mels]; what is left at the end is covered by a last one from half a stretch on."""
    starts = list(range(0, len(levels) - frames + 1, frames))
    if 2 * (len(levels) - starts[-1] - frames) >= frames:
        starts.append(len(levels) - frames)
    return torch.stack([levels[start : start + frames] for start in starts])[:, None]


class Network(nn.Module):
    """The encoder's ResNet-18 with a class for each dimension.

    Args:
        classes: number of labels.
        width: channels of the first layer.
        bfloat16: number format of the layers.
    """

    def __init__(self, classes: int, width: int, bfloat16: bool) -> None:
        super().__init__()
        self.body, self.bfloat16 = ResNet18(classes, 1, width), bfloat16

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [stretches, classes] of features [stretches, 1, frames, mels]."""
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.bfloat16):
            found = self.body(features)
        return found.float()

    @torch.no_grad()
    def clips(self, levels: Sequence[Tensor], frames: int, device: str) -> Tensor:
        """Return the mean logits [clips, classes] over each clip's stretches, in evaluation mode; clips are not mixed."""
        self.eval()
        found = [
            torch.cat([self(part.to(device)) for part in side_by_side(one, frames).split(STRETCHES_AT_ONCE)]).mean(0).cpu()
            for one in levels
        ]
        self.train()
        return torch.stack(found)
