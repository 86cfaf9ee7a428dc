"""Doppelgängers: two sounds whose parameters are a little apart, endlessly."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from core.contract import check_range
from core.errors import InvalidValueError, nearest
from tasks.synthesiser import draws
from tasks.synthesiser.draws import Seeds
from tasks.synthesiser.synthesiser import SAMPLINGS, Synthesiser

LEAST = 1e-6
"""Unit values are kept within this and 1, as published."""
PARTS = ("train", "val", "test")
_RANK_BITS, _STEP_BITS, _PLACE_BITS = 12, 28, 20
_BITS = 2 + _RANK_BITS + _STEP_BITS + _PLACE_BITS


@dataclass(frozen=True)
class Pair:
    """A batch of pairs; rows belong together."""

    first: torch.Tensor
    """Audio [B, T]."""
    second: torch.Tensor
    """Audio [B, T]."""
    u: torch.Tensor
    """Parameters both were made from, [B, P]; not heard, unless one-sided."""
    u1: torch.Tensor
    """Parameters of the first, [B, P]."""
    u2: torch.Tensor
    """Parameters of the second, [B, P]."""
    saturation: float
    """Share of the moved parameters that ran into 0 or 1."""


class Pairs:
    """Makes pairs: θ drawn, then both views θ + δ·N(0, 1), held within 0 … 1 (Cherep & Singh 2024, Audio Doppelgängers).

    Args:
        synthesiser: to make the sounds with.
        delta: standard deviation of the difference, in unit values.
        one_sided: the first view is θ itself.
        group_deltas: other deltas, by group of parameters (``parameters.GROUPS``) or by a parameter's name, which goes before its group.
        frozen: groups or names of parameters that both views share exactly.
        sampling: how θ is drawn, see ``Synthesiser.draw``.

    Raises:
        InvalidValueError: a group or name that the synthesiser does not have.
    """

    def __init__(
        self, synthesiser: Synthesiser, delta: float = 0.25, one_sided: bool = False, group_deltas: Mapping[str, float] | None = None,
        frozen: Collection[str] = (), sampling: str = "unit_uniform",
    ) -> None:  # fmt: skip
        if sampling not in SAMPLINGS:
            raise InvalidValueError("unknown", where="pairs.sampling", allowed=SAMPLINGS, received=sampling)
        self.synthesiser, self.delta, self.one_sided, self.sampling = synthesiser, delta, one_sided, sampling
        self.deltas = torch.tensor(_deltas(synthesiser, delta, group_deltas or {}, frozen), dtype=torch.float32)

    def parameters(self, seeds: Seeds, device: torch.device | str = "cpu") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
        """Return θ, both views' parameters, each float32 [B, P], and the saturation; each row from its own seed only."""
        numbers = draws.as_tensor(seeds, device)
        u = self.synthesiser.draw(numbers, self.sampling, device).clamp(LEAST, 1)
        deltas = self.deltas.to(u.device)
        moved = [u + deltas * draws.normal(numbers, stream, len(self.synthesiser)) for stream in (draws.FIRST, draws.SECOND)]
        if self.one_sided:
            moved[0] = u
        views = [view.clamp(LEAST, 1) for view in moved]
        judged = moved[1:] if self.one_sided else moved
        free = max(1, int((deltas > 0).sum()) * len(u) * len(judged))
        beyond = sum(int((((view < LEAST) | (view > 1)) & (deltas > 0)).sum()) for view in judged)
        return u, views[0], views[1], beyond / free

    def batch(self, seeds: Seeds, device: torch.device | str = "cpu") -> Pair:
        """Make one pair for each seed; a pair hangs on its seed alone. The two views have noises of their own."""
        numbers = draws.as_tensor(seeds, device)
        u, u1, u2, saturation = self.parameters(numbers, device)
        first, second = (
            self.synthesiser.render(view, draws.derived(numbers, stream)) for view, stream in ((u1, draws.FIRST), (u2, draws.SECOND))
        )
        return Pair(first, second, u, u1, u2, saturation)


def _deltas(synthesiser: Synthesiser, delta: float, by_name: Mapping[str, float], frozen: Collection[str]) -> list[float]:
    """Return the delta of each parameter."""
    known = [*{one.group: None for one in synthesiser.parameters}, *(one.name for one in synthesiser.parameters)]
    for name in (*by_name, *frozen):
        if name not in known:
            raise InvalidValueError("no such parameter or group", where="pairs", received=name, hint=nearest(name, known))
    for where, value in (("pairs.delta", delta), *((f"pairs.group_deltas.{name}", value) for name, value in by_name.items())):
        check_range(where, value, 0.0, 10.0)
    return [
        0.0 if one.name in frozen or one.group in frozen else by_name.get(one.name, by_name.get(one.group, delta))
        for one in synthesiser.parameters
    ]


def stream(seed: int, rank: int, step: int, batch: int, part: str = "train") -> list[int]:
    """Return the seeds of one step of an endless stream: whole numbers below 2⁶², all different for one seed, whatever rank, step and part.

    Args:
        seed: of the whole training.
        rank: of this process, below 4,096.
        step: below 2²⁸.
        batch: how many, at most 2²⁰.
        part: ``train``, ``val`` or ``test``, which never share a sound.

    Raises:
        InvalidValueError: out of range.
    """
    check_range("stream.rank", rank, 0, (1 << _RANK_BITS) - 1)
    check_range("stream.step", step, 0, (1 << _STEP_BITS) - 1)
    check_range("stream.batch", batch, 1, 1 << _PLACE_BITS)
    if part not in PARTS:
        raise InvalidValueError("unknown", where="stream.part", allowed=PARTS, received=part)
    mask = (1 << _BITS) - 1
    counted = torch.arange(batch) + ((((PARTS.index(part) << _RANK_BITS) + rank << _STEP_BITS) + step) << _PLACE_BITS)
    key = int(draws.mixed(draws.as_tensor([seed]))[0]) & mask
    # Each step maps 62-bit numbers one to one: adding, multiplying by an odd number, and folding the upper bits onto the lower ones.
    mixed = (counted ^ key) & mask
    for factor in (-4658895280553007687, -7723592293110705685):
        mixed = ((mixed ^ (mixed >> 31)) * factor) & mask
    return [int(number) for number in (mixed ^ (mixed >> 31)).tolist()]
