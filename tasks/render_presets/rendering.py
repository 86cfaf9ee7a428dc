"""Presets through the pool: those that come out silent or too loud are drawn again, those that break the plug-in are lost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tasks.presets.parameters import Values
from tasks.render_presets.plan import Plan
from tasks.renderer.interface import Note
from tasks.renderer.pool import Job, Outcome

BLOCK = 64
"""Numbers whose sounds are held in memory and listened to together. Blocks begin with the shard, whatever the speed of the workers, so
that no embedding hangs on it."""
OPEN_BLOCKS = 3
"""Blocks that may be under way at once: while the last presets of one are drawn again, workers go on with the next."""
NOT_FINITE = "not finite"
"""The pool's reason for a sound that is not made of numbers; such presets are drawn again as silent ones are."""


class Renders(Protocol):
    """What is needed of ``tasks.renderer.pool.Pool``."""

    def render(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        """Yield the outcomes of jobs in their order."""


@dataclass(frozen=True)
class Decided:
    """What became of a number."""

    number: int
    """The preset's."""
    values: Values
    """Of the last try [used]."""
    note: Note
    """That it was played with."""
    tries: int
    """Draws."""
    rms: float
    """Of the clip, in full scale; NaN where there is none."""
    audio: npt.NDArray[np.float32] | None
    """Mono clip; none if the preset was lost."""
    reason: str = ""
    """Why it was lost: ``too soft``, ``too loud``, ``not finite``, or ``crash``, ``hang``, ``error`` with what is known."""


@dataclass
class Stream:
    """Numbers on their way through the pool.

    Args:
        plan: of the presets.
        numbers: to render, from one block's beginning.
        limits: RMS that a clip must be above, and below.
    """

    plan: Plan
    numbers: range
    limits: tuple[float, float]
    _next: int = field(init=False)
    _again: deque[tuple[int, int]] = field(init=False, default_factory=deque)
    _values: dict[tuple[int, int], tuple[Values, Values]] = field(init=False, default_factory=dict)
    _done: dict[int, Decided] = field(init=False, default_factory=dict)
    _given_out: int = field(init=False)

    def __post_init__(self) -> None:
        self._next = self._given_out = self.numbers.start
        every = self.plan.spec.parameters
        self._indices = [one.index for one in every]

    def blocks(self, pool: Renders) -> Iterator[list[Decided]]:
        """Yield what became of each block's numbers, in order."""
        while self._given_out < self.numbers.stop:
            for outcome in pool.render(self._jobs()):
                self._take(outcome)
                while self._given_out < self.numbers.stop and (block := self._whole_block()):
                    yield block

    def _jobs(self) -> Iterator[Job]:
        """Yield jobs, tries that are due again first, as long as there are any that may be begun."""
        while True:
            if self._again:
                yield self._job(*self._again.popleft())
            elif self._next < min(self.numbers.stop, self._given_out + OPEN_BLOCKS * BLOCK):
                number, self._next = self._next, self._next + 1
                if (number - self.numbers.start) % BLOCK == 0:
                    self._begin(range(number, min(number + BLOCK, self.numbers.stop)))
                yield self._job(number, 0)
            else:
                return

    def _begin(self, block: range) -> None:
        """Work out values [used] and raw values [all] of a block, all at once since one by one takes as long as rendering."""
        values = self.plan.values(block)
        self._values |= {(one, 0): (row, full) for one, row, full in zip(block, values, self.plan.spec.full(values), strict=True)}

    def _job(self, number: int, attempt: int) -> Job:
        full = self._values[number, attempt][1]
        return Job((number, attempt), dict(zip(self._indices, full.tolist(), strict=True)), self.plan.note(number))

    def _take(self, outcome: Outcome) -> None:
        number, attempt = outcome.id
        values, _ = self._values.pop((number, attempt))
        rms, reason = self._judged(outcome)
        if reason in ("too soft", "too loud", NOT_FINITE) and (another := self.plan.again(number, attempt + 1)) is not None:
            self._values[number, attempt + 1] = (another, self.plan.spec.full(another)[0])
            self._again.append((number, attempt + 1))
            return
        audio = None if reason else outcome.audio
        self._done[number] = Decided(number, values, self.plan.note(number), attempt + 1, rms, audio, reason)

    def _judged(self, outcome: Outcome) -> tuple[float, str]:
        """Return a clip's RMS, and why it is no good, if so."""
        if outcome.audio is None or outcome.status != "ok":
            reason = NOT_FINITE if outcome.reason == NOT_FINITE else f"{outcome.status}: {outcome.reason}"
            return math.nan, reason
        rms = float(np.sqrt(np.mean(np.square(outcome.audio, dtype=np.float64))))
        if not math.isfinite(rms):
            return math.nan, NOT_FINITE
        low, high = self.limits
        return rms, "too soft" if rms <= low else "too loud" if rms >= high else ""

    def _whole_block(self) -> list[Decided]:
        """Return the next block if all of its numbers are decided."""
        block = range(self._given_out, min(self._given_out + BLOCK, self.numbers.stop))
        if not all(number in self._done for number in block):
            return []
        self._given_out = block.stop
        return [self._done.pop(number) for number in block]


def parameters_of(plan: Plan, values: Values) -> dict[str, Any]:
    """Return the raw values of a preset [used] by name."""
    return {one.name: float(f"{value:.9g}") for one, value in zip(plan.spec.used, plan.spec.raw(values)[0], strict=True)}
