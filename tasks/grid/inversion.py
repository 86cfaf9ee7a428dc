"""Turns mel power back into sound: a spectrum that has this mel power, and Griffin and Lim's phase for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.errors import InvalidValueError
from tasks.grid.features import Features
from tasks.grid.mel import MelFrontEnd

ITERATIONS = 512
"""Of Griffin and Lim's algorithm; the published code's number."""
NNLS_STEPS = 200
"""Multiplicative updates of the spectrum."""
Vocoder = Callable[[Tensor, MelFrontEnd], Tensor]
"""Mel power [clips, mels, frames] → sounds [clips, samples]."""


def front_end_of(features: Features) -> MelFrontEnd:
    """Return the front-end that made these features."""
    d = features.description
    return MelFrontEnd(features.sample_rate_hz, features.n_fft, features.hop, features.mels, d["power"], d["f_min_hz"], d["f_max_hz"])


def mel_to_sound(
    power: npt.NDArray[Any] | Tensor, front_end: MelFrontEnd, samples: int, *, seed: int = 0, iterations: int = ITERATIONS,
    vocoder: Vocoder | None = None,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Return sounds that have about this mel power.

    Args:
        power: [clips, mels, frames], [1, mels, frames] or [mels, frames], not negative.
        front_end: what the power was computed with; the computation runs on its device.
        samples: length of the sounds.
        seed: of the first phase. Every clip begins with the same one, so that a clip sounds the same in every batch.
        iterations: of Griffin and Lim's algorithm.
        vocoder: what makes the sounds instead of that algorithm, such as a neural vocoder.

    Returns:
        float32 [clips, samples].

    Raises:
        InvalidValueError: the power has another number of mel bands, or is negative or not finite.
    """
    device = front_end.filters.device
    mel = torch.as_tensor(np.array(power) if isinstance(power, np.ndarray) else power, dtype=torch.float32, device=device)
    mel = mel[None] if mel.ndim == 2 else mel
    if mel.ndim != 3 or mel.shape[1] != front_end.mels:
        allowed = f"[clips, {front_end.mels}, frames]"
        raise InvalidValueError("wrong shape", where="mel_to_sound.power", allowed=allowed, received=tuple(mel.shape))
    if not torch.isfinite(mel).all() or (mel < 0).any():
        raise InvalidValueError("not a power", where="mel_to_sound.power", allowed="finite values ≥ 0", received="others")
    with torch.no_grad():
        made = vocoder(mel, front_end) if vocoder else griffin_lim(mel_to_spectrum(mel, front_end), front_end, samples, seed, iterations)
    made = torch.nn.functional.pad(made, (0, max(0, samples - made.shape[1])))[:, :samples]
    return made.cpu().numpy().astype(np.float32)


def mel_to_spectrum(mel: Tensor, front_end: MelFrontEnd) -> Tensor:
    """Return a spectrum [clips, bins, frames] ≥ 0 that the mel filters turn into ``mel`` [clips, mels, frames], as well as they can.

    Non-negative least squares, as in librosa: from the least-norm solution, by Lee and Seung's multiplicative updates (NIPS 2000).
    """
    filters = front_end.filters  # [bins, mels]
    clips, mels, frames = mel.shape
    columns = mel.transpose(0, 1).reshape(mels, clips * frames)
    # Relative to its loudest band every frame is solved alike, loud or soft.
    level = columns.amax(0).clamp_min(1e-30)
    wanted = columns / level
    found = torch.linalg.pinv(filters.T.double()).float() @ wanted
    found = found.clamp_min(0) + 1e-9 * found.abs().amax(0).clamp_min(1e-12)
    numerator = filters @ wanted
    for _ in range(NNLS_STEPS):
        found = found * numerator / (filters @ (filters.T @ found)).clamp_min(1e-30)
    return (found * level).reshape(-1, clips, frames).transpose(0, 1)


def griffin_lim(spectrum: Tensor, front_end: MelFrontEnd, samples: int, seed: int, iterations: int = ITERATIONS) -> Tensor:
    """Return sounds [clips, samples] whose spectra are about ``spectrum`` [clips, bins, frames].

    Griffin and Lim 1984 with the momentum of Perraudin et al. 2013, as librosa and torchaudio have it; ``seed`` draws the first phase.
    """
    magnitude = spectrum.pow(1 / front_end.power)
    shape = magnitude.shape[1:]
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * (2 * torch.pi)
    phase = torch.polar(torch.ones(shape), drawn).to(magnitude.device).expand(magnitude.shape)
    window, before = front_end.window, torch.zeros((), device=magnitude.device)
    for _ in range(iterations):
        sounds = _inverse(magnitude * phase, front_end, samples, window)
        rebuilt = torch.stft(sounds, front_end.n_fft, front_end.hop, window=window, center=True, pad_mode="constant", return_complex=True)
        step = rebuilt - before * (0.99 / 1.99)
        phase, before = step / step.abs().clamp_min(1e-16), rebuilt
    return _inverse(magnitude * phase, front_end, samples, window)


def _inverse(spectrum: Tensor, front_end: MelFrontEnd, samples: int, window: Tensor) -> Tensor:
    return torch.istft(spectrum, front_end.n_fft, front_end.hop, window=window, center=True, length=samples)
