"""What changes slowly: envelopes, low-frequency oscillators and the modulation matrix, all at control rate."""

from __future__ import annotations

import math

import torch

TAU = 2 * math.pi


def power(base: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """Return base^exponent for bases of 0 … 1 and positive exponents; the derivative where the base is 0 is given as 0, not infinity."""
    if not (base.requires_grad or exponent.requires_grad):
        return torch.exp2(exponent * torch.log2(base))
    positive = base > 0
    return torch.where(positive, torch.exp2(exponent * torch.log2(torch.where(positive, base, 1.0))), 0.0)


def envelopes(settings: torch.Tensor, note_s: torch.Tensor, points: int, rate_hz: int, eps: float) -> torch.Tensor:
    """Return ADSR envelopes in 0 … 1, [B, N, points] (SynthAX 0.2.2 ``envelopes.py``).

    Attack · decay · release, each a ramp min((max(n − start, 0) + ε) / duration + ε, 1), the latter two as 1 − ramp, to the power alpha;
    a note shorter than attack and decay cuts them off.

    Args:
        settings: attack, decay (s), sustain, release (s), alpha, [B, N, 5].
        note_s: time the key is down, [B, N].
        points: control points.
        rate_hz: control points per second.
        eps: added to ramps.
    """
    attack, decay, sustain, release, alpha = settings[..., None].unbind(-2)
    note = note_s[..., None]
    steps = torch.arange(points, device=settings.device, dtype=settings.dtype)
    shown_attack = torch.minimum(attack, note)
    shown_decay = torch.minimum((note - attack).clamp(min=0), decay)
    rising = _ramp(steps, None, shown_attack * rate_hz, eps)
    releasing = _fall(steps, note * rate_hz, release * rate_hz, eps)
    decaying = _fall(steps, shown_attack * rate_hz, shown_decay * rate_hz, eps)
    # (attack · release)^α in one power instead of two.
    return power(rising * releasing, alpha) * ((1 - sustain) * power(decaying, alpha) + sustain)


def _ramp(steps: torch.Tensor, start: torch.Tensor | None, length: torch.Tensor, eps: float) -> torch.Tensor:
    passed = steps if start is None else (steps - start).clamp(min=0)
    # A ramp of no length is 1 at once: ε / 1e-12 is above 1.
    return ((passed + eps) * (1 / length.clamp(min=1e-12)) + eps).clamp(max=1)


def _fall(steps: torch.Tensor, start: torch.Tensor, length: torch.Tensor, eps: float) -> torch.Tensor:
    """Return 1 − ramp; 1 throughout for no length, as there is then nothing to fall."""
    return torch.where(length > 0, 1 - _ramp(steps, start, length, eps), 1.0)


def lfos(settings: torch.Tensor, rate_envelopes: torch.Tensor, rate_hz: int) -> torch.Tensor:
    """Return low-frequency oscillations in 0 … 1, [B, N, points]: five shapes, weighted by w^e / Σ w^e (SynthAX 0.2.2 ``lfos.py``).

    Args:
        settings: frequency (Hz), depth (Hz), initial phase (radians) and weights of sine, triangle, saw, reversed saw, square, [B, N, 8].
        rate_envelopes: change of the frequency in depths, [B, N, points].
        rate_hz: control points per second.
    """
    frequency, depth, initial = (settings[..., i, None] for i in range(3))
    weights = power(settings[..., 3:], torch.tensor(math.e, dtype=settings.dtype, device=settings.device))
    sine, triangle, saw, reversed_saw, square = (weights / weights.sum(-1, keepdim=True).clamp(min=1e-30))[..., None].unbind(-2)
    periods = ((frequency + depth * rate_envelopes).clamp(min=0) / rate_hz).cumsum(-1) + initial / TAU
    place = periods - periods.floor()
    bow = 0.5 - 0.5 * torch.sin(TAU * (place + 0.25))
    up = 1 - (2 * place - 1).abs()
    on = ((place > 0.25) & (place < 0.75)).to(place.dtype)
    return sine * bow + triangle * up + (saw - reversed_saw) * place + reversed_saw + square * on


def modulated(cells: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Return the outputs [B, targets, points] of a modulation matrix [B, targets, sources] for its inputs [B, sources, points]."""
    # One input after the other, not a matrix product: a library's order of adding may change with the batch.
    total = cells[:, :, 0, None] * sources[:, None, 0]
    for i in range(1, sources.shape[1]):
        total = torch.addcmul(total, cells[:, :, i, None], sources[:, None, i])
    return total
