"""OpenL3's audio network (Cramer et al., 2019) as the port torchopenl3 1.0.1 has it, and as synth-proxy listens with it.

The weights are files of the port's authors and are opened by path; there is no download here.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from core import keys
from tasks.audio_models.interface import AudioModel, Reduction, frozen
from tasks.audio_models.weights import load_strictly, read

SAMPLE_RATE_HZ = 48000
FRAME, HOP = SAMPLE_RATE_HZ, SAMPLE_RATE_HZ // 2
"""Samples the network hears at once, and from moment to moment."""
N_FFT, STFT_HOP, MELS = 2048, 242, 256
LOWEST, RANGE_DB = 1e-10, 80.0
"""Of amplitudes, and of decibels below a frame's loudest."""
POOLS = {"openl3_mel256_512": (32, 24), "openl3_mel256_6144": (8, 8)}
"""Bands and frames of which the maximum is kept; 512 channels each."""
CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512)
"""Of the convolutions; behind every second of them but the last, height and width are halved."""
FRAMES_AT_ONCE = 4
PUBLISHED = (
    "a file of github.com/torchopenl3/torchopenl3-models: torchopenl3_mel256_music_6144.pth.tar, torchopenl3_mel256_env_512.pth.tar, …"
)


class Spectrogram(nn.Module):
    """Levels as kapre 0.1.4 made them: the Fourier transform and the bands are weights of the file, too, and nothing without it."""

    dft_real_kernels: Tensor
    dft_imag_kernels: Tensor
    mel_basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("dft_real_kernels", "dft_imag_kernels"):
            self.register_buffer(name, torch.zeros(N_FFT // 2 + 1, 1, N_FFT))
        self.register_buffer("mel_basis", torch.zeros(MELS, N_FFT // 2 + 1))

    def forward(self, frames: Tensor) -> Tensor:
        """Return decibels below the loudest [B, 256, 199], −80 … 0, of frames [B, 48000].

        They are ten, and not twenty, times the logarithm of amplitudes; in silence all bands are the loudest.
        """
        # As Keras pads: what a last step too short by FRAME % STFT_HOP samples needs, in halves.
        missing = N_FFT - FRAME % STFT_HOP
        padded = nn.functional.pad(frames, (missing // 2, missing - missing // 2))[:, None]
        real, imaginary = (
            nn.functional.conv1d(padded, kernels, stride=STFT_HOP) for kernels in (self.dft_real_kernels, self.dft_imag_kernels)
        )
        amplitudes = (self.mel_basis @ (real.square() + imaginary.square())).sqrt()
        levels = 10 * torch.log10(amplitudes.clamp(min=LOWEST))
        return (levels - levels.amax((1, 2), keepdim=True)).clamp(min=-RANGE_DB)


class OpenL3(nn.Module):
    """The network with its front end.

    Args:
        pool: bands and frames of which the maximum is kept.
    """

    def __init__(self, pool: tuple[int, int]) -> None:
        super().__init__()
        self.pool = pool
        self.speclayer = Spectrogram()
        inputs = 1
        for place, channels in enumerate(CHANNELS, 1):
            name = f"conv2d_{place}" if place < len(CHANNELS) else "audio_embedding_layer"
            self.add_module(f"batch_normalization_{place}", nn.BatchNorm2d(inputs, eps=0.001))
            self.add_module(name, nn.Conv2d(inputs, channels, 3, padding=1))
            inputs = channels

    def forward(self, frames: Tensor) -> Tensor:
        """Return the embeddings [B, m] of frames [B, 48000]: maxima, ordered by band, then frame, then channel."""
        x = self.speclayer(frames)[:, None]
        for place in range(1, len(CHANNELS)):
            x = self.get_submodule(f"batch_normalization_{place}")(x)
            if place > 1:
                x = x.relu()
            if place in (3, 5, 7):
                x = nn.functional.max_pool2d(x, 2)
            x = self.get_submodule(f"conv2d_{place}")(x)
        x = self.get_submodule("audio_embedding_layer")(self.get_submodule(f"batch_normalization_{len(CHANNELS)}")(x).relu())
        return nn.functional.max_pool2d(x, self.pool).permute(0, 2, 3, 1).flatten(1)


class OpenL3Frames(AudioModel):
    """A moment is a second; there is one every half second, and the first is centred on the beginning: 10 of them in 5 s.

    Args:
        name: one of :data:`POOLS`.
        digest: of the weights' file, which says whether it was trained on music or on environments.
        reduction: over the moments; the published study took the maximum.
    """

    def __init__(self, name: str, digest: str = "", reduction: Reduction = "avg") -> None:
        dimensions = int(name.rpartition("_")[2])
        super().__init__(name, SAMPLE_RATE_HZ, dimensions, False, reduction, digest)
        self.network = OpenL3(POOLS[name])

    def moments(self, audio: Tensor) -> Tensor:
        """Return the embedding of each frame [sounds, frames, d]; see :class:`AudioModel`."""
        # Sound by sound: a vector hangs on its sound alone.
        return torch.stack([torch.cat([self.network(part) for part in cut.split(FRAMES_AT_ONCE)]) for cut in frames_of(audio)])


def frames_of(audio: Tensor) -> Tensor:
    """Cut sounds [B, samples] into frames [B, frames, samples of a frame]: half a frame of silence before, and behind what is needed."""
    length = audio.shape[1] + FRAME // 2
    count = 1 + max(0, math.ceil((length - FRAME) / HOP))
    return nn.functional.pad(audio, (FRAME // 2, FRAME + (count - 1) * HOP - length)).unfold(1, FRAME, HOP)


def open_openl3(name: str, path: Path, device: str | torch.device, reduction: Reduction) -> AudioModel:
    """Load weights; every one of the file must fit, and every one of the network must be there.

    Files of 512 and of 6,144 dimensions have the same names and shapes, so that only their names tell them apart.

    Raises:
        InvalidValueError: no file, or one of another network.
    """
    model = OpenL3Frames(name, keys.file_digest(path) if path.is_file() else "", reduction)
    load_strictly(model.network, read(name, path, PUBLISHED), path, "torchopenl3's mel256")
    return frozen(model, device)
