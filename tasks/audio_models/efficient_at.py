"""EfficientAT's MobileNets (Schmid et al., 2023) as synth-proxy listens with them: short windows, features from four depths, averaged.

The weights are release files of the authors (``mn04_as_mAP_432.pt``, …) and are opened by path; there is no download here. The network's
form is checked against the published sizes; without the files it was not checked that real weights give the authors' numbers.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torchaudio
from torch import Tensor, nn

from core import keys
from tasks.audio_models.interface import AudioModel, Reduction, frozen
from tasks.audio_models.mobilenet import MobileNet
from tasks.audio_models.weights import load_strictly, read

SAMPLE_RATE_HZ = 32000
WINDOW_MS, HOP_MS = 160, 50
WIDTHS = {f"mn{number:02d}": number / 10 for number in (1, 2, 4, 5, 10, 20, 30, 40)}
"""Names of the published widths."""
PLACES = (5, 11, 13, 15)
"""Of ``features``, whose pooled outputs are the embedding."""
MELS, N_FFT, WINDOW, HOP, HIGH_HZ = 128, 1024, 800, 320, 15000.0
WINDOWS_AT_ONCE = 256


class Spectrogram(nn.Module):
    """EfficientAT's front end: pre-emphasis, power of 25 ms frames every 10 ms, 128 of Kaldi's mel bands, log, shifted and scaled."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=False), persistent=False)
        banks, _ = torchaudio.compliance.kaldi.get_mel_banks(MELS, N_FFT, float(SAMPLE_RATE_HZ), 0.0, HIGH_HZ, 100.0, -500.0, 1.0)
        self.register_buffer("filters", nn.functional.pad(banks, (0, 1)), persistent=False)  # Kaldi leaves out half the sample rate

    def forward(self, sounds: Tensor) -> Tensor:
        """Return levels [B, mels, frames] of sounds [B, samples]."""
        emphasised = sounds[:, 1:] - 0.97 * sounds[:, :-1]
        found = torch.stft(emphasised, N_FFT, HOP, WINDOW, self.window, center=True, pad_mode="reflect", return_complex=True)
        power = found.real.square() + found.imag.square()
        return (torch.log(self.filters @ power + 1e-5) + 4.5) / 5


class EfficientAT(AudioModel):
    """A moment is a window of 160 ms; there is one every 50 ms, and 80 ms are mirrored at both ends: 101 of them in 5 s.

    Args:
        name: ``mn04``, …; with ``_mel`` the mean levels of the 128 mel bands come behind the features.
        digest: of the weights' file.
        reduction: over the windows.
    """

    def __init__(self, name: str, digest: str = "", reduction: Reduction = "avg") -> None:
        network = MobileNet(WIDTHS[name.removesuffix("_mel")])
        mel = name.endswith("_mel")
        dimensions = sum(network.channels[place] for place in PLACES) + mel * MELS
        super().__init__(name, SAMPLE_RATE_HZ, dimensions, mel, reduction, digest)
        self.network, self.spectrogram = network, Spectrogram()

    def moments(self, audio: Tensor) -> Tensor:
        """Return the features of each window [sounds, windows, d]; see :class:`AudioModel`."""
        cut = windows(audio)
        parts = []
        for part in cut.flatten(0, 1).split(WINDOWS_AT_ONCE):
            levels = self.spectrogram(part)
            features = self.network.pooled(levels[:, None], PLACES)
            parts.append(torch.cat([features, levels.mean(-1)], 1) if self.includes_mel else features)
        return torch.cat(parts).unflatten(0, cut.shape[:2])


def windows(audio: Tensor, window_ms: int = WINDOW_MS) -> Tensor:
    """Cut sounds [B, samples] into windows [B, windows, samples of a window], centred every 50 ms, the ends of the sounds mirrored.

    Sounds not longer than half a window get silence behind them.
    """
    length, hop = (ms * SAMPLE_RATE_HZ // 1000 for ms in (window_ms, HOP_MS))
    pad = length // 2
    audio = nn.functional.pad(audio, (0, max(0, pad + 1 - audio.shape[1])))
    return nn.functional.pad(audio[:, None], (pad, pad), mode="reflect")[:, 0].unfold(1, length, hop)


def open_efficient_at(name: str, path: Path, device: str | torch.device, reduction: Reduction) -> AudioModel:
    """Load weights; every one of the file must fit, and every one of the network must be there.

    Raises:
        InvalidValueError: no file, or one of another network.
    """
    short = name.removesuffix("_mel")
    state = read(name, path, f"a release file of EfficientAT, {short}_as_….pt")
    model = EfficientAT(name, keys.file_digest(path), reduction)
    load_strictly(model.network, state, path, f"EfficientAT's {short}")
    return frozen(model, device)
