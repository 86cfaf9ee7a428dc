"""A resonant low-pass filter whose cut-off moves: the two-pole state-variable filter, applied in the frequency domain."""

from __future__ import annotations

import math

import torch

WINDOW_S = 0.032
"""Length of the windows in which the filter stands still; they overlap by three quarters."""


def low_pass(audio: torch.Tensor, cutoff_hz: torch.Tensor, quality: torch.Tensor, sample_rate_hz: int) -> torch.Tensor:
    """Filter sounds with a resonant low-pass of 12 dB per octave.

    The response is that of the trapezoidal state-variable filter (Zavalishin 2012), H = 1 / (1 − g² + j·g / Q) with
    g = tan(ω/2) / tan(ωc/2), taken at the bins of overlapping Hann windows. A recursion would need a step for each sample; frequency
    sampling (Nercessian 2020) works on whole batches, is differentiable, and differs from it by what rings beyond a window: under 1 %
    with Q up to 4 above 300 Hz, 44 % at 200 Hz with Q 8, whose resonance comes out broader.

    Args:
        audio: [B, T].
        cutoff_hz: at evenly spaced control points, the first at the first sample and the last at the last, [B, C].
        quality: Q, [B].
        sample_rate_hz: of the sounds.

    Returns:
        filtered sounds, [B, T].
    """
    size = 1 << round(math.log2(WINDOW_S * sample_rate_hz))
    hop = size // 4
    window = torch.hann_window(size, device=audio.device, dtype=audio.dtype)
    # Zeros before and after, so that the ringing of one end does not come out at the other, and short sounds fill a window.
    padded = torch.nn.functional.pad(audio, (size, size + -audio.shape[1] % hop))
    spectra = torch.stft(padded, size, hop, size, window, center=True, pad_mode="constant", return_complex=True)
    frames = spectra.shape[2]
    places = (torch.arange(frames, device=audio.device, dtype=audio.dtype) * hop - size) / max(1, audio.shape[1] - 1)
    along = places.clamp(0, 1) * (cutoff_hz.shape[1] - 1)
    left = along.floor().long().clamp(max=cutoff_hz.shape[1] - 2)
    cutoff = torch.lerp(cutoff_hz[:, left], cutoff_hz[:, left + 1], along - left)
    bins = torch.arange(size // 2 + 1, device=audio.device, dtype=audio.dtype) * (math.pi / size)
    # tan(π/2) is infinite in exact numbers; the response is 0 there.
    tangents = torch.tan(bins.clamp(max=math.pi / 2 - 1e-3))
    g = tangents[None, :, None] / torch.tan(math.pi * cutoff.clamp(5.0, 0.49 * sample_rate_hz) / sample_rate_hz)[:, None, :]
    response = torch.complex(1 - g * g, g / quality[:, None, None]).reciprocal()
    made = torch.istft(spectra * response, size, hop, size, window, center=True, length=padded.shape[1])
    return made[:, size : size + audio.shape[1]]
