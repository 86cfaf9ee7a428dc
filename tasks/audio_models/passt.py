"""PaSST (Koutini et al., 2022) as synth-proxy listens with it: ``base2levelmel`` of the authors' package hear21passt, without the classes.

The weights are release files of the authors and are opened by path; there is no download here.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from core import keys
from core.errors import InvalidValueError
from tasks.audio_models.efficient_at import MELS, SAMPLE_RATE_HZ, Spectrogram, windows
from tasks.audio_models.interface import AudioModel, Reduction, frozen
from tasks.audio_models.vision_transformer import EPSILON, PATCH, Patches, Size, blocks
from tasks.audio_models.weights import load_strictly, read

SIZES = {"passt_s": Size(12, 768, 12), "passt_l": Size(7, 768, 12)}
"""``passt_l`` is the authors' light one."""
CLASSES = 527
"""Of AudioSet."""
STRIDE = 10
"""Bands, and frames, from patch to patch, which overlap."""
FRAMES = 998
"""Of 10 s, which the network was trained on."""
WINDOWS_MS = (160, 640)
"""Around each moment, that the network hears; a column of patches, and five."""
LEVELS_MS = 60
"""Around each moment, whose levels follow: six frames."""
LEVELS = MELS * 6
WINDOWS_AT_ONCE = 64
PUBLISHED = "a release file of github.com/kkoutini/PaSST with patches every 10: passt-s-kd-ap.486.pt, passt-s-f128-p16-s10-ap.476-swa.pt, …"


class Passt(nn.Module):
    """The network, its classifiers included, so that a file of weights can be loaded strictly.

    Args:
        size: of the transformer.
        classes: of the classifiers.
    """

    def __init__(self, size: Size, classes: int = CLASSES) -> None:
        super().__init__()
        width = size.width
        bands, frames = ((length - PATCH) // STRIDE + 1 for length in (MELS, FRAMES))
        self.cls_token, self.dist_token = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, width))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, width, bands, 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, width, 1, frames))
        self.patch_embed, self.blocks = Patches(width, STRIDE), blocks(size)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))
        self.head_dist = nn.Linear(width, classes)
        """The teacher's, of its training; not used any more."""

    def features(self, levels: Tensor) -> Tensor:
        """Return the mean of the two summary tokens [B, width] of spectrograms [B, 1, 128 bands, 16 … 998 frames]."""
        patches = self.patch_embed(levels)
        patches = patches + self.time_new_pos_embed[..., : patches.shape[3]] + self.freq_new_pos_embed
        summaries = torch.cat([self.cls_token, self.dist_token], 1) + self.new_pos_embed
        tokens = torch.cat([summaries.expand(len(levels), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        found: Tensor = self.norm(self.blocks(tokens)[:, :2]).mean(1)
        return found

    def forward(self, levels: Tensor) -> Tensor:
        """Return the logits [B, classes]; see :meth:`features`."""
        logits: Tensor = self.head(self.features(levels))
        return logits


class PasstTwoLevels(AudioModel):
    """A moment comes every 50 ms: features of 160 ms and of 640 ms around it, and the levels of 128 mel bands in six frames.

    Args:
        name: one of :data:`SIZES`.
        classes: of the weights' classifiers, which nobody hears.
        digest: of the weights' file.
        reduction: over the moments; the published study took the mean.
    """

    def __init__(self, name: str, classes: int = CLASSES, digest: str = "", reduction: Reduction = "avg") -> None:
        size = SIZES[name]
        super().__init__(name, SAMPLE_RATE_HZ, len(WINDOWS_MS) * size.width + LEVELS, True, reduction, digest)
        self.network, self.spectrogram = Passt(size, classes), Spectrogram()

    def moments(self, audio: Tensor) -> Tensor:
        """Return the features of each moment [sounds, moments, d]; see :class:`AudioModel`.

        Sounds shorter than half of the longest window, 320 ms, get silence behind them: their ends are mirrored.
        """
        least = max(WINDOWS_MS) * SAMPLE_RATE_HZ // 2000 + 1
        audio = nn.functional.pad(audio, (0, max(0, least - audio.shape[1])))
        return torch.stack([self._heard(sound[None]) for sound in audio])  # one by one: a vector hangs on its sound alone

    def _heard(self, sound: Tensor) -> Tensor:
        parts = []
        for window_ms in WINDOWS_MS:
            cut = windows(sound, window_ms)[0].split(WINDOWS_AT_ONCE)
            parts.append(torch.cat([self.network.features(self.spectrogram(part)[:, None]) for part in cut]))
        return torch.cat([*parts, self.spectrogram(windows(sound, LEVELS_MS)[0]).flatten(1)], 1)


def open_passt(name: str, path: Path, device: str | torch.device, reduction: Reduction) -> AudioModel:
    """Load weights strictly; only the number of classes may differ (openmic, fsd50k), as the classifiers are not heard.

    Raises:
        InvalidValueError: no file, or one of another network, of other patches or of other spectrograms.
    """
    state = read(name, path, PUBLISHED)
    head = state.get("head_dist.bias") if isinstance(state, dict) else None
    if not isinstance(head, Tensor) or head.ndim != 1:
        raise InvalidValueError("weights of another network", where=path.name, allowed=f"PaSST's {name}", received="no head_dist.bias")
    model = PasstTwoLevels(name, len(head), keys.file_digest(path), reduction)
    load_strictly(model.network, state, path, f"PaSST's {name}")
    return frozen(model, device)
