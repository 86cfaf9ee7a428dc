"""A first spec from what a plug-in tells of itself. What to exclude, and how to weigh, is for a person to say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tasks.presets.parameters import CONTINUOUS, Parameter, SynthSpec
from tasks.renderer.interface import PluginParameter

NOTES = "Drafted from the plug-in's own description: correct kinds, exclude what should not move, leave out random shapes."


def drafted(name: str, backend: str, parameters: Sequence[PluginParameter], exclude: Sequence[str] = (), most_steps: int = 32) -> SynthSpec:
    """Return a spec.

    Args:
        name: of the spec.
        backend: that the indices belong to.
        parameters: as the back end describes them.
        exclude: patterns of names to pin.
        most_steps: parameters of more steps become continuous.
    """
    return SynthSpec(name, tuple(_drafted(one, most_steps) for one in parameters), tuple(exclude), backend, NOTES)


def _drafted(one: PluginParameter, most_steps: int) -> Parameter:
    """Two steps make a switch; several whose labels are rising numbers, a number with steps; several others, categories."""
    default = min(1.0, max(0.0, one.default))
    if not 2 <= one.steps <= most_steps:
        return Parameter(one.index, one.name, "num", default, CONTINUOUS)
    if one.steps == 2:
        return Parameter(one.index, one.name, "bin", default, 2, one.values)
    return Parameter(one.index, one.name, "num" if _rising(one.labels) else "cat", default, one.steps, one.values)


def _rising(labels: Sequence[str]) -> bool:
    try:
        # Without a unit: "3 st" and "12.5 %" are numbers too.
        numbers = [float(label.split()[0]) for label in labels]
    except (ValueError, IndexError):
        return False
    return all(one < other for one, other in pairwise(numbers))
