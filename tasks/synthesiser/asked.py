"""The synthesiser, and the pairs, that a stage's settings ask for; stages name those settings alike."""

from __future__ import annotations

from typing import Any

from tasks.synthesiser.building import build
from tasks.synthesiser.pairs import Pairs
from tasks.synthesiser.synthesiser import Synthesiser


def synthesiser_of(settings: Any) -> Synthesiser:
    """Build the synthesiser of some settings: ``synth`` and what else :func:`build` takes."""
    return build(
        settings.synth, settings.sample_rate_hz, settings.duration_s, settings.control_rate_hz, filtered=settings.filtered,
        transients=settings.transients, events=settings.events,
    )  # fmt: skip


def pairs_of(settings: Any, synthesiser: Synthesiser) -> Pairs:
    """Build what makes pairs, of settings that name what :class:`Pairs` takes."""
    return Pairs(synthesiser, settings.delta, settings.one_sided, settings.group_deltas, settings.frozen, settings.sampling)
