"""How a stage's shards are dealt to children, and how many devices a request asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.contract import load_spec
from core.errors import InvalidValueError
from core.graph import Step


def deal(pending: Sequence[int], costs: Sequence[float], width: int) -> list[list[int]]:
    """Deal shards to at most ``width`` children so that they end at about the same time.

    Longest first, each to the child with the least work so far (Graham's LPT rule: at most 4/3 of the best possible time).

    Args:
        pending: shard numbers.
        costs: relative cost by shard number.
        width: number of children that may run at once.

    Returns:
        One non-empty list per child, its long shards first.
    """
    groups: list[list[int]] = [[] for _ in range(min(width, len(pending)))]
    loads = [0.0] * len(groups)
    for shard in sorted(pending, key=lambda number: (-costs[number], number)):
        least = loads.index(min(loads))
        groups[least].append(shard)
        loads[least] += costs[shard]
    return groups


def costs(step: Step) -> list[float]:
    """Return the relative cost of every shard: what the stage's spec says (``shard_costs``), else all alike.

    Raises:
        InvalidValueError: the spec's list has not one cost per shard.
    """
    said = getattr(load_spec(step.stage.name), "shard_costs", None)
    values = [float(value) for value in said(step.request)] if said else [1.0] * step.shards
    if len(values) != step.shards:
        where = f"tasks.{step.stage.name}.spec.shard_costs"
        raise InvalidValueError("wrong number of costs", where=where, allowed=f"{step.shards}, one per shard", received=len(values))
    return values


def wanted_devices(request: Any) -> int:
    """Return how many devices a request wants to train on: its, or its settings', runtime setting ``num_devices``; 1 without one."""
    holder = request if hasattr(request, "num_devices") else getattr(request, "settings", None)
    return max(1, int(getattr(holder, "num_devices", 1)))
