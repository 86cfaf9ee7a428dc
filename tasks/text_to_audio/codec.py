"""Sound ↔ latents for the embedded model: log-mel frames, stable-audio-tools' Oobleck autoencoder over them, Griffin-Lim back to sound.

A waveform autoencoder needs days (40 s of training on two cores left a log-mel correlation of 0.45); with a mel front end, as in
AudioLDM and Tango, the same autoencoder class learns in a minute. A pretrained model (Stable Audio Open) brings its own waveform
autoencoder and uses none of this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torchaudio

FLOOR = 1e-5
MOST_GAIN_DB = 24.0
"""Most that :meth:`Mel.moved` raises or lowers a band: beyond it there is nothing in the sound to raise."""


@dataclass(frozen=True)
class FrontEnd:
    """Numbers of the mel front end; kept in ``model_config.json`` under ``synthloom``."""

    sample_rate_hz: int = 16000
    n_fft: int = 1024
    hop: int = 256
    mels: int = 128
    mean: float = -5.0
    """Mean of the training set's log-mel values."""
    std: float = 3.0
    """Their standard deviation."""
    griffin_lim_iterations: int = 48

    def frames(self, duration_s: float, multiple: int) -> int:
        """Return the frames that hold ``duration_s``, rounded up to a multiple of the autoencoder's stride.

        Frames are centred, so ``n`` of them span ``n − 1`` hops: one fewer would leave silence at the end of every sound.
        """
        return math.ceil((duration_s * self.sample_rate_hz / self.hop + 1) / multiple) * multiple


class Mel:
    """Log-mel analysis and Griffin-Lim synthesis for one front end."""

    def __init__(self, front_end: FrontEnd) -> None:
        self.front_end = front_end
        f = front_end
        self._spectrogram = torchaudio.transforms.Spectrogram(f.n_fft, hop_length=f.hop, power=1.0)
        self._filters = torchaudio.functional.melscale_fbanks(
            f.n_fft // 2 + 1, 20.0, f.sample_rate_hz / 2, f.mels, f.sample_rate_hz, norm="slaney", mel_scale="slaney"
        )
        self._inverse = torch.linalg.pinv(self._filters)
        self._spread = _between_bands(f)

    def raw(self, samples: torch.Tensor) -> torch.Tensor:
        """Return natural-log mel magnitudes [batch, mels, frames] of sounds [batch, samples]."""
        magnitude = self._spectrogram(samples)
        return torch.log(torch.einsum("bft,fm->bmt", magnitude, self._filters) + FLOOR)

    def analyse(self, samples: torch.Tensor, frames: int) -> torch.Tensor:
        """Return normalised log-mels [batch, mels, frames]; shorter sounds are filled with silence."""
        mel = self.raw(samples)[..., :frames]
        mel = torch.nn.functional.pad(mel, (0, frames - mel.shape[-1]), value=math.log(FLOOR))
        return (mel - self.front_end.mean) / self.front_end.std

    def synthesise(self, mel: torch.Tensor, length: int) -> torch.Tensor:
        """Return sounds [batch, length] for normalised log-mels [batch, mels, frames] (Griffin & Lim, 1984, with momentum 0.99).

        The phase starts from a generator with a fixed seed, so the same mel gives the same sound.
        """
        f = self.front_end
        magnitude = torch.exp(mel * f.std + f.mean) - FLOOR
        linear = torch.einsum("bmt,mf->bft", magnitude.clamp(min=0), self._inverse).clamp(min=0)
        generator = torch.Generator().manual_seed(0)
        # One phase for every item of the batch: a sound must not depend on its place in the batch.
        phase = 2 * math.pi * torch.rand(linear.shape[1:], generator=generator)
        return _griffin_lim(linear, phase, f, length)

    def moved(self, sounds: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Return sounds [batch, samples], filtered over time so that their log-mels move as from ``before`` to ``after``.

        The filter is the difference of the two, at most ``MOST_GAIN_DB`` up or down, laid over the sounds' own short-time spectra:
        phases, harmonics and transients stay theirs, and what the autoencoder loses is in both and cancels. Equal mels return the sounds
        as they are.

        Args:
            sounds: what is filtered, [batch, samples].
            before: normalised log-mels [batch, mels, frames] of the sounds as the autoencoder sees them.
            after: the wanted ones.
        """
        f = self.front_end
        most = MOST_GAIN_DB / 20 * math.log(10)
        gains = torch.einsum("bmt,mf->bft", ((after - before) * f.std).clamp(-most, most), self._spread)
        window = torch.hann_window(f.n_fft)
        spectra = torch.stft(sounds, f.n_fft, f.hop, window=window, return_complex=True, pad_mode="constant")
        frames = min(spectra.shape[-1], gains.shape[-1])
        filtered = spectra[..., :frames] * gains[..., :frames].exp()
        return torch.istft(filtered, f.n_fft, f.hop, window=window, length=sounds.shape[-1])


def _between_bands(f: FrontEnd) -> torch.Tensor:
    """Return weights [mels, bins] that interpolate values of mel bands, linearly in mel, at the bins of the spectrum."""
    # A triangle of width one band either side of its centre, as the analysis filters are before their normalisation.
    low, high = _mel(torch.tensor(20.0)), _mel(torch.tensor(f.sample_rate_hz / 2))
    bins = _mel(torch.linspace(0, f.sample_rate_hz / 2, f.n_fft // 2 + 1))
    places = ((bins - low) / (high - low) * (f.mels + 1) - 1).clamp(0, f.mels - 1)
    return (1 - (places[None] - torch.arange(f.mels)[:, None]).abs()).clamp(min=0)


def _mel(frequencies_hz: torch.Tensor) -> torch.Tensor:
    """Return mel values on Slaney's scale: linear up to 1 kHz, logarithmic above (Auditory Toolbox, 1998)."""
    above = 15 + 27 * torch.log(frequencies_hz.clamp(min=1000) / 1000) / math.log(6.4)
    return torch.where(frequencies_hz < 1000, frequencies_hz * 3 / 200, above)


def _griffin_lim(magnitude: torch.Tensor, phase: torch.Tensor, f: FrontEnd, length: int) -> torch.Tensor:
    """Return sounds [batch, length] for magnitudes [batch, bins, frames] and a starting phase [bins, frames].

    The same as with ``torch.istft`` and ``torch.stft``, at half the cost: frames lie in rows, the overlapping windows' sum of squares is
    worked out once, and overlap-add is a few sums of whole hops.
    """
    window, hops = torch.hann_window(f.n_fft), f.n_fft // f.hop
    rows = magnitude.transpose(1, 2)  # [batch, frames, bins]
    frames, edge = rows.shape[1], f.n_fft // 2
    span = f.hop * (frames - 1)
    weight = _overlap_add((window**2).expand(1, frames, -1), hops)[:, edge : edge + span]
    angles = torch.polar(torch.ones_like(phase), phase).T[None].expand(rows.shape)
    previous = torch.zeros_like(angles)
    for iteration in range(f.griffin_lim_iterations + 1):
        pieces = torch.fft.irfft(rows * angles, n=f.n_fft) * window
        sound = _overlap_add(pieces, hops)[:, edge : edge + span] / weight
        if iteration == f.griffin_lim_iterations:
            break
        padded = torch.nn.functional.pad(sound[:, None], (edge, edge), mode="reflect")[:, 0]
        rebuilt = torch.fft.rfft(padded.unfold(-1, f.n_fft, f.hop) * window)
        angles = rebuilt + 0.99 / 1.99 * (rebuilt - previous)
        parts = torch.view_as_real(angles)
        angles = torch.view_as_complex(parts * (parts.square().sum(-1, keepdim=True) + 1e-24).rsqrt())
        previous = rebuilt
    return torch.nn.functional.pad(sound, (0, max(0, length - sound.shape[-1])))[..., :length]


def _overlap_add(pieces: torch.Tensor, hops: int) -> torch.Tensor:
    """Return sounds [batch, (frames + hops − 1)·hop] for windowed frames [batch, frames, hops·hop], each a hop after the last."""
    batch, frames, size = pieces.shape
    parts = pieces.reshape(batch, frames, hops, size // hops)
    total = pieces.new_zeros(batch, frames + hops - 1, size // hops)
    for number in range(hops):
        total[:, number : number + frames] += parts[:, :, number]
    return total.flatten(1)
