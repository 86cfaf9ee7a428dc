"""Dry clips heard through RIRs, in batches on any device; clips that overlap, and clips that move."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from core.errors import InvalidValueError
from tasks.spatial.convolution import fast_length, kept


def convolve(dry: Tensor, rirs: Tensor, delay_samples: int = 0, length: int = 0) -> Tensor:
    """Return every dry clip heard through every RIR: a Cartesian block.

    Each clip and each RIR is transformed once, at the next fast length from T + L − 1 on. On the CPU one product after the other is
    transformed back, so that memory stays at one block's result; on a GPU a clip's products go together.

    Args:
        dry: [B, T].
        rirs: [V, C, L], C = 4 for FOA; pad short ones with zeros.
        delay_samples: the simulator's own delay, cut off the front.
        length: samples of the result, 0 for T.

    Returns:
        [B, V, C, length], in the dry clips' number format.
    """
    if dry.ndim != 2 or rirs.ndim != 3:
        allowed = "dry [B, T] and rirs [V, C, L]"
        raise InvalidValueError("wrong shapes", where="convolve", allowed=allowed, received=(tuple(dry.shape), tuple(rirs.shape)))
    needed = kept(dry.shape[-1], rirs.shape[-1], delay_samples, length)
    size = fast_length(max(dry.shape[-1] + rirs.shape[-1] - 1, needed))
    heard, clips = torch.fft.rfft(rirs, size), torch.fft.rfft(dry, size)
    wet = dry.new_empty(len(dry), *rirs.shape[:2], needed - delay_samples)
    for place, clip in enumerate(clips):
        if wet.device.type == "cpu":
            for view, rir in enumerate(heard):
                wet[place, view] = torch.fft.irfft(clip * rir, size)[..., delay_samples:needed]
        else:
            wet[place] = torch.fft.irfft(clip * heard, size)[..., delay_samples:needed]
    return wet


def convolve_each(dry: Tensor, rirs: Tensor, delay_samples: int = 0, length: int = 0) -> Tensor:
    """Return clip i heard through RIR i: [B, C, length] of dry [B, T] and rirs [B, C, L]; otherwise as :func:`convolve`."""
    if len(dry) != len(rirs):
        raise InvalidValueError("not one RIR a clip", where="convolve_each", allowed=len(dry), received=len(rirs))
    return torch.cat([convolve(clip[None], rir[None], delay_samples, length)[:, 0] for clip, rir in zip(dry, rirs, strict=True)])


def mixed(wet: Sequence[Tensor], gains_db: Sequence[float] = (), onsets: Sequence[int] = ()) -> Tensor:
    """Return several sources heard at once: the sum of scenes [4, T_i], each with a gain and an onset, as long as the first one.

    Args:
        wet: one scene a source.
        gains_db: by source; none for 0 dB.
        onsets: first sample by source; none for 0. What sounds beyond the first scene's end is cut.
    """
    total = torch.zeros_like(wet[0])
    for place, scene in enumerate(wet):
        start = onsets[place] if onsets else 0
        gain = 10 ** (gains_db[place] / 20) if gains_db else 1.0
        room = max(0, total.shape[-1] - start)
        total[..., start : start + scene.shape[-1]] += gain * scene[..., :room]
    return total


def segments(samples: int, stops: int, device: torch.device | str = "cpu") -> Tensor:
    """Return weights [stops, samples] that cross-fade linearly from stop to stop and add up to 1 everywhere."""
    places = torch.linspace(0.0, max(stops - 1, 0), samples, device=device)
    return (1.0 - (places - torch.arange(stops, device=device)[:, None]).abs()).clamp(min=0.0)


def moving(dry: Tensor, rirs: Tensor, delay_samples: int = 0, length: int = 0) -> Tensor:
    """Return a clip whose source moves past the places of several RIRs at an even pace.

    The dry clip is cross-faded from one RIR's input to the next one's, so that what a place has reverberated goes on after the source left
    it (segment-wise time-variant convolution, as in the DCASE generators).

    Args:
        dry: [T].
        rirs: [S, C, L], the places in order.
        delay_samples: the simulator's own delay, cut off the front.
        length: samples of the result, 0 for T.

    Returns:
        [C, length].
    """
    parts = segments(dry.shape[-1], len(rirs), dry.device).to(dry) * dry
    return convolve_each(parts, rirs, delay_samples, length).sum(0)


def copied(mono: Tensor) -> Tensor:
    """Return a sound without a place as FOA: [..., T] copied to all four channels [..., 4, T], as ELSA feeds mono clips."""
    return mono.unsqueeze(-2).expand(*mono.shape[:-1], 4, mono.shape[-1])


def padded(rirs: Sequence[Tensor]) -> Tensor:
    """Return RIRs [C, L_i] as one tensor [V, C, max L_i], zeros at the ends."""
    longest = max(rir.shape[-1] for rir in rirs)
    return torch.stack([functional.pad(rir, (0, longest - rir.shape[-1])) for rir in rirs])
