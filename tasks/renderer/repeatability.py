"""Whether a plug-in plays the same preset the same way: in another process, and after other presets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from core.errors import InvalidValueError
from tasks.renderer.interface import RenderSettings
from tasks.renderer.pool import Job, Outcome, Pool

FEWEST = 2
"""Presets, below which there is no other order."""


@dataclass(frozen=True)
class Verdict:
    """What three fresh processes showed, two of which rendered the presets in one order and the third in the opposite one."""

    kind: Literal["deterministic", "order_dependent", "random"]
    """``deterministic``: the same samples always; ``order_dependent``: the same in the same order; ``random``: not even that."""
    presets: int
    """Presets rendered three times."""
    equal_again: float
    """Share of presets with the same samples in another process."""
    equal_reordered: float
    """Share of presets with the same samples in another order."""
    largest_difference: float
    """Between samples of the same preset, in full scale; 0 if deterministic."""
    failed: int
    """Presets that did not render in one of the processes at least; the same failure counts as equal."""
    digest: str
    """SHA-256 of all samples of the first process: the same on another machine if the plug-in computes the same there."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON-ready values."""
        return asdict(self)


def probe(
    backend: str, plugin: str, settings: RenderSettings, jobs: Sequence[Job], timeout_s: float = 30.0
) -> tuple[Verdict, list[Outcome]]:
    """Render presets in three fresh processes and compare.

    Args:
        backend: as for ``Pool``.
        plugin: likewise.
        settings: likewise.
        jobs: presets, two at least.
        timeout_s: limit of one preset.

    Returns:
        the verdict, and the outcomes of the first process.
    """
    if len(jobs) < FEWEST:
        raise InvalidValueError("too few presets", where="repeatability.jobs", allowed=f"{FEWEST} or more", received=len(jobs))

    def rendered(order: Sequence[Job]) -> list[Outcome]:
        # One process for all of them, however many: replacing it would clear what is to be found out.
        with Pool(backend, plugin, settings, 1, timeout_s, recycle_renders=10**9, recycle_mb=10**6) as pool:
            return list(pool.render(order))

    first, again = rendered(jobs), rendered(jobs)
    reordered = rendered(list(reversed(jobs)))[::-1]
    return judged(first, again, reordered), first


def judged(first: Sequence[Outcome], again: Sequence[Outcome], reordered: Sequence[Outcome]) -> Verdict:
    """Compare three rounds of the same presets, given in the same order."""
    equal_again, equal_reordered = (sum(map(_equal, first, others)) / len(first) for others in (again, reordered))
    kind: Literal["deterministic", "order_dependent", "random"] = "deterministic"
    if equal_again < 1:
        kind = "random"
    elif equal_reordered < 1:
        kind = "order_dependent"
    largest = max((_difference(one, other) for others in (again, reordered) for one, other in zip(first, others, strict=True)), default=0.0)
    failed = sum(any(one.audio is None for one in same) for same in zip(first, again, reordered, strict=True))
    digest = hashlib.sha256()
    for one in first:
        digest.update(one.status.encode() if one.audio is None else one.audio.tobytes())
    return Verdict(kind, len(first), equal_again, equal_reordered, largest, failed, digest.hexdigest())


def _equal(one: Outcome, other: Outcome) -> bool:
    if one.audio is None or other.audio is None:
        return one.status == other.status
    return one.audio.tobytes() == other.audio.tobytes()


def _difference(one: Outcome, other: Outcome) -> float:
    if one.audio is None or other.audio is None:
        return 0.0
    return float(np.abs(one.audio - other.audio).max(initial=0.0))
