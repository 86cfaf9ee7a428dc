"""What a parameter of a synthesiser is, and the two ways to say its value: unit (0 … 1) and human (Hz, seconds, semitones)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

GROUPS = ("pitch", "duration", "envelope", "lfo", "modulation", "oscillator", "level", "filter", "transient", "scene")
"""Kinds of parameters, for a delta of their own or none at all (``pairs.Pairs``)."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a sound."""

    name: str
    """``module.parameter``, as in SynthAX; cells of the modulation matrix are ``mod_matrix.<target>.<source>``."""
    group: str
    """One of :data:`GROUPS`."""
    low: float
    """Least value in human units."""
    high: float
    """Greatest value."""
    curve: float = 1.0
    """Below 1: more of the unit range for small values (for values near the middle, if symmetric)."""
    symmetric: bool = False
    """Whether the curve bends around the middle of the range."""


class Ranges:
    """The maps between unit and human values of a row of parameters (SynthAX 0.2.2 ``parameter.py``).

    With x the place in the range, 0 … 1, and curve c: u = x^c. Symmetric, with d = 2x − 1: u = (1 + sign(d)·|d|^c) / 2.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.size = len(parameters)
        # Filled up to whole vectors of the processor: elements left over at the end of a row would be computed by other instructions,
        # whose last bit differs, and which elements these are would hang on the batch.
        filled = [*parameters, *[Parameter("", "", 0.0, 1.0)] * (-len(parameters) % 32)]
        self._rows = torch.tensor([[one.low, one.high - one.low, one.curve, one.symmetric] for one in filled], dtype=torch.float64).T
        self._kept: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}

    def to_human(self, u: torch.Tensor) -> torch.Tensor:
        """Return human values [B, P] of unit values [B, P], in their precision."""
        low, span, curve, symmetric = self._on(u)
        return low + span * self._bent(u, 1 / curve, symmetric)

    def to_unit(self, human: torch.Tensor) -> torch.Tensor:
        """Return unit values [B, P] of human values [B, P]."""
        low, span, _, _ = self._on(human)
        return self.from_place((human - low) / span)

    def from_place(self, x: torch.Tensor) -> torch.Tensor:
        """Return the unit values [B, P] of places in the human range, 0 … 1 [B, P]."""
        _, _, curve, symmetric = self._on(x)
        return self._bent(x, curve, symmetric)

    def _on(self, like: torch.Tensor) -> torch.Tensor:
        return self._table(like)[:, : self.size]

    def _table(self, like: torch.Tensor) -> torch.Tensor:
        key = (like.device, like.dtype)
        if key not in self._kept:
            self._kept[key] = self._rows.to(device=like.device, dtype=like.dtype)
        return self._kept[key]

    def _bent(self, x: torch.Tensor, power: torch.Tensor, symmetric: torch.Tensor) -> torch.Tensor:
        fill = -self.size % 32
        padded, symmetric = torch.nn.functional.pad(x, (0, fill), value=0.5), self._table(x)[3] > 0.5
        power = torch.nn.functional.pad(power, (0, fill), value=1.0)
        distance = torch.where(symmetric, 2 * padded - 1, padded)
        bent = distance.abs() ** power
        return torch.where(symmetric, (1 + torch.sign(distance) * bent) / 2, bent)[:, : self.size]


def keyboard(name: str) -> list[Parameter]:
    """Return the parameters of a keyboard: pitch in MIDI notes, time the key is down in seconds."""
    return [Parameter(f"{name}.midi_f0", "pitch", 0.0, 127.0), Parameter(f"{name}.duration", "duration", 0.01, 4.0, 0.5)]


def adsr(name: str, group: str = "envelope") -> list[Parameter]:
    """Return the parameters of an envelope: seconds, level, seconds, and the power of every ramp."""
    return [
        Parameter(f"{name}.attack", group, 0.0, 2.0, 0.5), Parameter(f"{name}.decay", group, 0.0, 2.0, 0.5),
        Parameter(f"{name}.sustain", group, 0.0, 1.0), Parameter(f"{name}.release", group, 0.0, 5.0, 0.5),
        Parameter(f"{name}.alpha", group, 0.1, 6.0),
    ]  # fmt: skip


def lfo(name: str) -> list[Parameter]:
    """Return the parameters of a low-frequency oscillator: Hz, Hz, radians, and the weights of its five shapes."""
    return [
        Parameter(f"{name}.frequency", "lfo", 0.0, 20.0, 0.25), Parameter(f"{name}.mod_depth", "lfo", -10.0, 20.0, 0.5, True),
        Parameter(f"{name}.initial_phase", "lfo", -math.pi, math.pi),
        *(Parameter(f"{name}.{shape}", "lfo", 0.0, 1.0) for shape in ("sin", "tri", "saw", "rsaw", "sqr")),
    ]  # fmt: skip


def oscillator(name: str, kind: str) -> list[Parameter]:
    """Return the parameters of an oscillator: semitones, semitones (``fm``: modulation index), radians, and shape for ``square_saw``."""
    return [
        Parameter(f"{name}.tuning", "pitch", -24.0, 24.0), Parameter(f"{name}.mod_depth", "modulation", -96.0, 96.0, 0.2, True),
        Parameter(f"{name}.initial_phase", "oscillator", -math.pi, math.pi),
        *([Parameter(f"{name}.shape", "oscillator", 0.0, 1.0)] if kind == "square_saw" else []),
    ]  # fmt: skip


def matrix(targets: Sequence[str], sources: Sequence[str]) -> list[Parameter]:
    """Return the cells of a modulation matrix, by target and then source."""
    return [Parameter(f"mod_matrix.{target}.{source}", "modulation", 0.0, 1.0, 0.5) for target in targets for source in sources]


def mixer(inputs: Sequence[str], noise_curve: float) -> list[Parameter]:
    """Return the levels of a mixer, the noise's with a curve of its own."""
    return [Parameter(f"mixer.{name}", "level", 0.0, 1.0, noise_curve if name == "noise" else 1.0) for name in inputs]


def low_pass() -> list[Parameter]:
    """Return the parameters of the resonant low-pass filter: MIDI notes, quality factor, semitones, and its envelope."""
    return [
        Parameter("filter.cutoff", "filter", 28.0, 127.0), Parameter("filter.resonance", "filter", 0.5, 12.0, 0.5),
        Parameter("filter.depth", "filter", -72.0, 72.0, 0.5, True), *adsr("filter_adsr", "filter"),
    ]  # fmt: skip


def transient() -> list[Parameter]:
    """Return the parameters of the transient at the note's beginning: level, seconds to 1/e, MIDI note, share of noise."""
    return [
        Parameter("transient.level", "transient", 0.0, 1.0), Parameter("transient.decay", "transient", 0.0005, 0.1, 0.5),
        Parameter("transient.pitch", "transient", 55.0, 120.0), Parameter("transient.noise", "transient", 0.0, 1.0),
    ]  # fmt: skip
