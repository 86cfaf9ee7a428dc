"""Random numbers that hang on a seed and a place only: by counting and mixing, so whole batches at once, alike on every device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed number
PARAMETERS, NOISE, EVENTS, FIRST, SECOND, BURST = range(6)
"""What is drawn from a seed; each has random numbers of its own."""
WINDOWS = 1 << 16
"""Places at which a sound's noise may begin in either of two tables."""

Seeds = Sequence[int] | torch.Tensor


def as_tensor(seeds: Seeds, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return seeds as int64 [B]; any whole numbers, of which the low 64 bits count."""
    if isinstance(seeds, torch.Tensor):
        return seeds.to(device=device, dtype=torch.int64)
    return torch.tensor([_signed(int(seed)) for seed in seeds], dtype=torch.int64, device=device)


def _signed(number: int) -> int:
    """Return the low 64 bits of a whole number as torch has them, with a sign."""
    return ((number + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def mixed(numbers: torch.Tensor) -> torch.Tensor:
    """Return int64 numbers with their bits mixed, one to one (Steele et al. 2014, SplitMix64)."""
    numbers = (numbers ^ _shifted(numbers, 30)) * -4658895280553007687
    numbers = (numbers ^ _shifted(numbers, 27)) * -7723592293110705685
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift right, zeros coming in; torch's own shift keeps the sign."""
    return (numbers >> bits) & ((1 << (64 - bits)) - 1)


def derived(seeds: torch.Tensor, stream: int) -> torch.Tensor:
    """Return a further seed for each seed, int64 [B]."""
    return mixed(mixed(seeds) + _signed(GOLDEN * (stream + 1)))


def words(seeds: torch.Tensor, stream: int, count: int) -> torch.Tensor:
    """Return ``count`` random 64-bit numbers for each seed: int64 [B, count]."""
    places = torch.arange(count, device=seeds.device) * GOLDEN
    return mixed(derived(seeds, stream)[:, None] + places)


def uniform(seeds: torch.Tensor, stream: int, count: int) -> torch.Tensor:
    """Return numbers evenly spread over (0, 1), neither end included: float32 [B, count]."""
    return (_shifted(words(seeds, stream, count), 41).to(torch.float32) + 0.5) * 2.0**-23


def normal(seeds: torch.Tensor, stream: int, count: int) -> torch.Tensor:
    """Return normally distributed numbers, mean 0 and variance 1: float32 [B, count], none beyond ±5.4."""
    filled = count + -count % 32  # whole vectors, see Ranges
    return (torch.erfinv(2 * uniform(seeds, stream, filled) - 1) * 2**0.5)[:, :count]


class NoiseTable:
    """White noise for many sounds, each with a seed of its own, at the price of two copies.

    A sound's noise is the exclusive or of two windows of two tables of random bits, each window's place drawn from the sound's seed: 2³²
    different noises, evenly distributed in −1 … 1 with 23 bits, and independent of each other unless both places agree.
    """

    def __init__(self, samples: int, device: torch.device) -> None:
        self.samples = samples
        bits = _shifted(words(torch.tensor([1, 2], device=device), NOISE, WINDOWS + samples), 41).to(torch.int32)
        # 0x3F800000 are the sign and exponent of floats in [1, 2), whose other 23 bits are the noise.
        self._tables = [table.unfold(0, samples, 1) for table in (bits[0].contiguous(), (bits[1] | 0x3F800000).contiguous())]

    def between_1_and_2(self, seeds: torch.Tensor) -> torch.Tensor:
        """Return (noise + 3) / 2, float32 [B, samples]: the caller has multiplications to merge the rest with."""
        drawn = derived(seeds, NOISE)
        first, second = drawn & (WINDOWS - 1), (drawn >> 16) & (WINDOWS - 1)
        return self._tables[0][first].bitwise_xor_(self._tables[1][second]).view(torch.float32)
