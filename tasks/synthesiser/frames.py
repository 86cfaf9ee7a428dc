"""Between control rate and sample rate: audio in frames of one control interval each, and phases that keep their precision."""

from __future__ import annotations

from fractions import Fraction

import torch

VECTOR = 32
"""Control points are a multiple of this, so that no element is left over at the end of a row (see ``parameters.Ranges``)."""


def writable(signal: torch.Tensor) -> torch.Tensor:
    """Return a signal that may be overwritten: itself, or a copy where a derivative will be wanted that needs it."""
    return signal.clone() if signal.requires_grad else signal


class Frames:
    """T samples cut at C control points that span them, the first at the first sample, the last at the last (as SynthAX upsamples).

    Signals at audio rate are [B, F, L]: frame k holds the samples between control points k and k + 1, at most L. Frames are not all full
    and the last few are empty; :meth:`samples` picks what is real. Linear interpolation is then one multiplication and one addition with
    numbers of the frame, and a phase adds up within short frames only, the frames' sums being added at control rate.

    Here and in ``oscillators``, what can be overwritten is: memory that is asked for anew costs more than the arithmetic in it.
    """

    def __init__(self, duration_s: float, sample_rate_hz: int, control_rate_hz: int) -> None:
        # Counted as fractions: 0.1 s · 48,000 Hz is 4,800 samples, not 4,801.
        length = Fraction(repr(duration_s))
        self.samples_count, self.points = (-(-length.numerator * rate // length.denominator) for rate in (sample_rate_hz, control_rate_hz))
        self.padded = self.points + -self.points % VECTOR
        last_point, last_sample = self.points - 1, self.samples_count - 1
        at = torch.arange(self.samples_count, dtype=torch.int64) * last_point
        frame = (at // last_sample).clamp(max=last_point - 1)
        counts = torch.bincount(frame, minlength=self.padded)
        self.length = int(counts.max()) + int(counts.max()) % 2
        begins = counts.cumsum(0) - counts
        within = torch.arange(self.samples_count) - begins[frame]
        fraction = torch.zeros(self.padded, self.length, dtype=torch.float64)
        fraction[frame, within] = (at - frame * last_sample).to(torch.float64) / last_sample
        self.slots = self.padded * self.length
        self._tables = {
            "fraction": fraction, "frames": torch.arange(self.padded), "ends": (counts - 1).clamp(min=0),
            "slot_of_sample": frame * self.length + within,
            "sample_of_slot": (begins[:, None] + torch.arange(self.length)).clamp(max=last_sample).reshape(-1),
        }  # fmt: skip
        self._kept: dict[tuple[str, torch.device, torch.dtype], torch.Tensor] = {}

    def _on(self, name: str, like: torch.Tensor) -> torch.Tensor:
        kind = like.dtype if name == "fraction" else torch.int64
        key = (name, like.device, kind)
        if key not in self._kept:
            self._kept[key] = self._tables[name].to(device=like.device, dtype=kind)
        return self._kept[key]

    def spread(self, control: torch.Tensor) -> torch.Tensor:
        """Interpolate a control signal [B, padded] linearly to audio rate: [B, F, L]."""
        step = torch.nn.functional.pad(control.diff(dim=1), (0, 1))
        return (step[:, :, None] * self._on("fraction", control)).add_(control[:, :, None])

    def first(self, control: torch.Tensor) -> torch.Tensor:
        """Return a control signal [B, padded] interpolated at the first sample of each frame: [B, F]."""
        step = torch.nn.functional.pad(control.diff(dim=1), (0, 1))
        return control + step * self._on("fraction", control)[:, 0]

    def phase(self, rates: torch.Tensor, initial: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
        """Add up frequencies to phases, the first sample's frequency already counted (as SynthAX does).

        Args:
            rates: frequency in periods per sample, [B, F, L]; overwritten.
            initial: phase before the first sample in periods, [B], float64 where the device has it.
            exact: by what to multiply the sum of each frame, [B, F] or [B, 1], in the precision of ``initial``: near 1, it makes good what
                rounding does to all frequencies of a frame alike, which would add up from frame to frame.

        Returns:
            phases in periods, 0 … 1, [B, F, L].
        """
        within = writable(rates).cumsum_(-1)
        totals = within[:, self._on("frames", rates), self._on("ends", rates)].to(initial.dtype) * exact
        before = initial[:, None] + totals.cumsum(1) - totals
        # Reduced to one period at once: float32 holds a phase of thousands of periods to a few per cent of one only.
        start = (before - before.floor()).to(rates.dtype)
        return within.add_(start[:, :, None]).frac_()

    def samples(self, framed: torch.Tensor) -> torch.Tensor:
        """Return the real samples [B, T] of a framed signal [B, F, L]."""
        return framed.flatten(1).index_select(1, self._on("slot_of_sample", framed))

    def framed(self, audio: torch.Tensor) -> torch.Tensor:
        """Return samples [B, T] in frames [B, F, L]; what is in slots without a sample is of no account."""
        return audio.index_select(1, self._on("sample_of_slot", audio)).view(len(audio), self.padded, self.length)
