"""What the encoder looks at: log-mel spectrograms of about a second, VGGish's (Hershey et al., 2017) or torchaudio's with its defaults."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn

from core.errors import InvalidValueError

FRONT_ENDS = ("vggish", "simple")
VGGISH_HZ = 16000
VGGISH_WINDOW, VGGISH_HOP, VGGISH_FFT = 400, 160, 512
VGGISH_FRAMES, VGGISH_MELS = 96, 64
VGGISH_LOW_HZ, VGGISH_HIGH_HZ = 125.0, 7500.0
VGGISH_OFFSET = 0.01
"""Added to mel magnitudes before the logarithm; a full-scale sine reaches about 100."""


class FrontEnd(nn.Module):
    """Turns stretches of sound into features; has no trained weights.

    Args:
        sample_rate_hz: of the sounds.
        window_samples: samples of one stretch.
        hop_samples: samples between the beginnings of two neighbouring stretches of a longer sound.
        shape: (frames, mels) of a stretch's features.
    """

    offset: float
    """Added to magnitudes or powers before the logarithm."""

    def __init__(self, sample_rate_hz: int, window_samples: int, hop_samples: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.sample_rate_hz, self.window_samples, self.hop_samples, self.shape = sample_rate_hz, window_samples, hop_samples, shape

    def log_mel(self, sounds: Tensor) -> Tensor:
        """Return log-mel levels [..., frames, mels] of sounds [..., samples] of any length from one frame on."""
        raise NotImplementedError

    def forward(self, sounds: Tensor) -> Tensor:
        """Return features [sounds, 1, frames, mels] of the first ``window_samples`` of sounds [sounds, samples]; short ones are padded.

        Raises:
            InvalidValueError: sounds of another shape.
        """
        if sounds.ndim != 2:
            raise InvalidValueError("not a batch of sounds", where="features", allowed="[sounds, samples]", received=tuple(sounds.shape))
        return self.log_mel(fitted(sounds, self.window_samples))[:, None]

    def stretches(self, sound: Tensor, hop_samples: int = 0) -> Tensor:
        """Cut a sound [samples] of any length into stretches [number, window_samples].

        What is left at the end is dropped where it is less than half a hop, and otherwise covered by a last stretch that ends with the
        sound, so that no clip loses up to a second. A sound shorter than a stretch is padded with silence.

        Args:
            sound: samples; none at all count as silence.
            hop_samples: between two beginnings; 0 for the front end's own.
        """
        hop, last = hop_samples or self.hop_samples, len(sound) - self.window_samples
        if last <= 0:
            return fitted(sound[None], self.window_samples)
        whole = sound.unfold(0, self.window_samples, hop)
        left = last - (len(whole) - 1) * hop
        return torch.cat([whole, sound[None, last:]]) if 2 * left >= hop else whole


class VGGish(FrontEnd):
    """25 ms Hann windows every 10 ms, magnitudes of 512-point FFTs, 64 mel bands from 125 to 7500 Hz, log(mel + 0.01): [1, 96, 64].

    Args:
        sample_rate_hz: 16000; VGGish's numbers mean nothing at another one.

    Raises:
        InvalidValueError: another sample rate.
    """

    window: Tensor
    filters: Tensor
    offset = VGGISH_OFFSET

    def __init__(self, sample_rate_hz: int = VGGISH_HZ) -> None:
        if sample_rate_hz != VGGISH_HZ:
            hint = "resample the sounds, or take front_end=simple"
            raise InvalidValueError(
                "vggish has one sample rate", where="front_end.sample_rate_hz", allowed=VGGISH_HZ, received=sample_rate_hz, hint=hint
            )
        samples = VGGISH_WINDOW + (VGGISH_FRAMES - 1) * VGGISH_HOP
        super().__init__(sample_rate_hz, samples, VGGISH_FRAMES * VGGISH_HOP, (VGGISH_FRAMES, VGGISH_MELS))
        self.register_buffer("window", torch.hann_window(VGGISH_WINDOW, periodic=True), persistent=False)
        self.register_buffer("filters", vggish_filters(), persistent=False)

    def log_mel(self, sounds: Tensor) -> Tensor:
        """See :class:`FrontEnd`."""
        frames = sounds.unfold(-1, VGGISH_WINDOW, VGGISH_HOP) * self.window
        return torch.log(torch.fft.rfft(frames, VGGISH_FFT).abs() @ self.filters + VGGISH_OFFSET)


def vggish_filters() -> Tensor:
    """Return VGGish's filters [257, 64]: triangles whose sides are straight over the mel scale 1127·ln(1 + f/700), not over Hz; no DC."""

    def mel(hertz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hertz / 700.0)

    bins = mel(torch.linspace(0.0, VGGISH_HZ / 2, VGGISH_FFT // 2 + 1, dtype=torch.float64))[:, None]
    low, high = mel(torch.tensor([VGGISH_LOW_HZ, VGGISH_HIGH_HZ], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, VGGISH_MELS + 2, dtype=torch.float64)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    found = torch.minimum(rising, falling).clamp(min=0.0)
    found[0] = 0.0
    return found.float()


class Simple(FrontEnd):
    """torchaudio's MelSpectrogram with its defaults: 400-point FFT, hop 200, 128 mels up to half the rate; log(power + 1e-6); 1 s.

    Args:
        sample_rate_hz: of the sounds; honoured.
    """

    def __init__(self, sample_rate_hz: int = 16000) -> None:
        from torchaudio.transforms import MelSpectrogram  # slow to import, and only needed here

        super().__init__(sample_rate_hz, sample_rate_hz, sample_rate_hz, (sample_rate_hz // 200 + 1, 128))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 128 mels on 201 bins leave some filters empty, as published
            self.mel = MelSpectrogram(sample_rate_hz)

    def log_mel(self, sounds: Tensor) -> Tensor:
        """See :class:`FrontEnd`."""
        return torch.log(self.mel(sounds) + 1e-6).transpose(-1, -2)


def front_end(name: str, sample_rate_hz: int = 16000) -> FrontEnd:
    """Return the front end with a name of :data:`FRONT_ENDS`.

    Raises:
        InvalidValueError: no such front end, or a sample rate it does not have.
    """
    if name not in FRONT_ENDS:
        raise InvalidValueError("no such front end", where="front_end", allowed=FRONT_ENDS, received=name)
    return VGGish(sample_rate_hz) if name == "vggish" else Simple(sample_rate_hz)


def fitted(sounds: Tensor, samples: int) -> Tensor:
    """Cut or pad [..., samples] at the end."""
    return nn.functional.pad(sounds, (0, max(0, samples - sounds.shape[-1])))[..., :samples]


def statistics(levels: Tensor) -> Tensor:
    """Return mean and standard deviation over time of each band, [..., 2 · mels], of log-mel levels [..., frames, mels]."""
    return torch.cat([levels.mean(-2), levels.std(-2, correction=0)], -1)


def at_level(sound: Tensor, level: str) -> Tensor:
    """Return a sound [samples] ``as_is``, or scaled to a ``peak`` of 1; silence stays silence."""
    highest = float(sound.abs().max()) if len(sound) else 0.0
    return sound / highest if level == "peak" and math.isfinite(highest) and highest > 0 else sound
