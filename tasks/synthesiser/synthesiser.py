"""A synthesiser: parameters in, sound out, every sound on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from core.errors import InvalidValueError
from tasks.synthesiser import draws, threads
from tasks.synthesiser.draws import Seeds
from tasks.synthesiser.parameters import Parameter, Ranges

COMPAT = ("first_item_normalisation", "noise_level", "same_noise")
"""Faults of SynthAX 0.2.2 that can be asked for; ``noise_level`` is settled when the layout is made (``building.build``)."""
SAMPLINGS = ("unit_uniform", "human_uniform")
SILENT_PEAK = 1e-3
"""Sounds that never get louder than this, in full scale, count as silent."""
CPU_ROWS = 16
"""Sounds worked out at once on a CPU, the control signals of all together. A power of two."""
CPU_CACHED_ROWS = 8
"""Sounds whose audio is worked out at once on a CPU: a signal of theirs stays in its cache. A power of two."""
GPU_ROWS = 1024
"""Sounds worked out at once on a GPU, unless they are long …"""
GPU_SAMPLES = 1 << 26
"""… and have more samples together than this."""


@dataclass
class Tally:
    """What was rendered since the synthesiser was built."""

    sounds: int = 0
    """All of them."""
    not_finite: int = 0
    """Sounds with a NaN or an infinity in them, given out as silence."""
    silent: int = 0
    """Sounds below :data:`SILENT_PEAK`, those included."""


class Synthesiser:
    """What all synthesisers have in common; a subclass makes the sounds.

    Args:
        name: as given to ``build``.
        parameters: of one sound.
        duration_s: length of a sound.
        sample_rate_hz: of a sound.
        compat: faults of SynthAX to reproduce, of :data:`COMPAT`.
    """

    def __init__(
        self, name: str, parameters: Sequence[Parameter], duration_s: float, sample_rate_hz: int, compat: Sequence[str] = ()
    ) -> None:
        self.name, self.parameters = name, tuple(parameters)
        self.duration_s, self.sample_rate_hz, self.compat = duration_s, sample_rate_hz, tuple(compat)
        self.ranges = Ranges(self.parameters)
        self.tally = Tally()

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def samples(self) -> int:
        """Samples of one sound."""
        raise NotImplementedError

    def to_human(self, u: torch.Tensor) -> torch.Tensor:
        """Return human values [B, P] (Hz, seconds, semitones …) of unit values [B, P]."""
        return self.ranges.to_human(self._checked(u))

    def to_unit(self, human: torch.Tensor) -> torch.Tensor:
        """Return unit values [B, P] of human values [B, P]."""
        return self.ranges.to_unit(self._checked(human))

    def draw(self, seeds: Seeds, sampling: str = "unit_uniform", device: torch.device | str = "cpu") -> torch.Tensor:
        """Draw parameters, each row from its own seed only.

        Args:
            seeds: one per sound.
            sampling: ``unit_uniform`` (as torchsynth draws) or ``human_uniform`` (as SynthAX does: more long attacks and fast LFOs).
            device: to draw on; the same everywhere but for the last bit of ``human_uniform``.

        Returns:
            unit values, float32 [B, P].
        """
        if sampling not in SAMPLINGS:
            raise InvalidValueError("unknown", where="synthesiser.sampling", allowed=SAMPLINGS, received=sampling)
        places = draws.uniform(draws.as_tensor(seeds, device), draws.PARAMETERS, len(self))
        return places if sampling == "unit_uniform" else self.ranges.from_place(places)

    def render(self, u: torch.Tensor, seeds: Seeds, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Make sounds. A sound hangs on its row and its seed alone, never on the others; differentiable with respect to ``u``.

        Args:
            u: unit values, [B, P], float32, or float64 for reference; on the device to work on.
            seeds: of the noise, one per sound.
            noise: to use instead, in full scale, [B, T] or [1, T].

        Returns:
            audio in full scale ±1, [B, T] in the precision of ``u``: as loud as it comes out, scaled down to ±1 if it is louder.

        Raises:
            InvalidValueError: shapes that do not fit.
        """
        u = self._checked(u)
        numbers = draws.as_tensor(seeds, u.device)
        if numbers.shape != (len(u),):
            raise InvalidValueError("not one seed per sound", where="synthesiser.render", allowed=[len(u)], received=list(numbers.shape))
        if "same_noise" in self.compat:
            numbers = torch.zeros_like(numbers)
        if noise is not None:
            if noise.shape not in ((len(u), self.samples), (1, self.samples)):
                allowed = [[len(u), self.samples], [1, self.samples]]
                raise InvalidValueError("wrong shape", where="synthesiser.render.noise", allowed=allowed, received=list(noise.shape))
            noise = noise.to(u).expand(len(u), -1)
        if not len(u):
            return u.new_zeros(0, self.samples)
        self.prepare(u.device)
        rows = CPU_ROWS if u.device.type == "cpu" else max(1, min(GPU_ROWS, GPU_SAMPLES // self.samples))
        counts: list[list[int]] = []

        def part(at: int) -> torch.Tensor:
            given = None if noise is None else noise[at : at + rows]
            audio = self.mixed(u[at : at + rows], numbers[at : at + rows], given)
            return audio if "first_item_normalisation" in self.compat else self._safe(audio, counts)

        audio = threads.joined(part, range(0, len(u), rows), u.device)
        if "first_item_normalisation" in self.compat:
            audio = self._safe(audio, counts)
        self.tally.sounds += len(u)
        self.tally.not_finite += sum(count[0] for count in counts)
        self.tally.silent += sum(count[1] for count in counts)
        return audio

    def prepare(self, device: torch.device) -> None:
        """Make what sounds share, before threads ask for it."""

    def mixed(self, u: torch.Tensor, seeds: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Make sounds [B, T] as loud as they come out; arguments as of :meth:`render`, checked."""
        raise NotImplementedError

    def _checked(self, values: torch.Tensor) -> torch.Tensor:
        if values.ndim != 2 or values.shape[1] != len(self) or values.dtype not in (torch.float32, torch.float64):
            allowed = f"[B, {len(self)}] of float32 or float64"
            raise InvalidValueError(
                "wrong shape", where=f"synthesiser {self.name}", allowed=allowed, received=[list(values.shape), values.dtype]
            )
        return values

    def _safe(self, audio: torch.Tensor, counts: list[list[int]]) -> torch.Tensor:
        """Scale each sound that exceeds ±1 to ±1, and replace by silence each that is not made of numbers; add how many to ``counts``."""
        peaks = torch.maximum(audio.amax(1), -audio.amin(1))
        finite = peaks.isfinite()  # the greatest of numbers of which one is NaN is NaN
        counts.append(torch.stack([(~finite).sum(), (~(peaks >= SILENT_PEAK) | ~finite).sum()]).tolist())
        if "first_item_normalisation" in self.compat:
            peaks = peaks[:1]
        gains = (1 / peaks.clamp(min=1))[:, None]
        audio = audio * gains if audio.requires_grad else audio.mul_(gains)  # the peaks' derivative needs the sound as it was
        return torch.where(finite[:, None], audio, 0.0) if counts[-1][0] else audio


def missing_rows(rows: int, device: torch.device) -> int:
    """Return how many rows to add so that the last part of a batch is a power of two.

    torch computes the elements left over by whole vectors in another way, whose last bit differs. Parts of powers of two, with rows of
    whole vectors, leave none over; each part is worked out by one thread (``threads.joined``).
    """
    left = rows % CPU_ROWS if device.type == "cpu" else 0
    return (1 << (left - 1).bit_length()) - left if left else 0
