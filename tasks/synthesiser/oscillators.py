"""The oscillators at audio rate, on phases in periods (SynthAX 0.2.2 ``oscillators.py``)."""

from __future__ import annotations

import math

import torch

from tasks.synthesiser.frames import writable

TAU = 2 * math.pi


def midi_to_hz(midi: torch.Tensor) -> torch.Tensor:
    """Return the frequency of MIDI notes, 69 being 440 Hz."""
    return 440.0 * torch.exp2((midi - 69.0) / 12.0)


def sine(phase: torch.Tensor) -> torch.Tensor:
    """Return cos 2π·phase, written over ``phase``."""
    # A sine of a shifted phase, which torch computes faster than a cosine.
    return phase.mul_(TAU).add_(TAU / 4).sin_()


def partials(highest_midi: torch.Tensor) -> torch.Tensor:
    """Return P = 12000 / (f·log10 f), f in Hz: how steep a square may be at its highest pitch without aliasing much.

    Lazzarini & Timoney 2010, "New Perspectives on Distortion Synthesis for Virtual Analog Oscillators".
    """
    highest_hz = midi_to_hz(highest_midi)
    return 12000 / (highest_hz * torch.log10(highest_hz))


def square_saw(phase: torch.Tensor, steepness: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """Return tanh(½π·P·sin 2π·phase) · (1 + shape·cos 2π·phase); times (1 − shape/2) it is the oscillator.

    Args:
        phase: periods, [B, F, L]; overwritten.
        steepness: P, [B].
        shape: 0 square … 1 saw, [B].
    """
    angle = phase.mul_(TAU)
    tilt = (angle + TAU / 4).sin_().mul_(shape[:, None, None]).add_(1)
    # tanh(x/2) = 2 σ(x) − 1, which torch computes eight times faster.
    return writable(angle.sin_().mul_((math.pi * steepness)[:, None, None]).sigmoid_()).mul_(2).sub_(1).mul_(tilt)
