"""Three steps: two that are independent and one that reads the first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.contract import check_range
from core.graph import FlowPlan, Graph
from core.keys import FileDigests
from flows.settings import RunSettings
from tasks.count import spec as count


@dataclass(frozen=True)
class Detail:
    """A group of settings."""

    seconds_per_shard: float = 0.0
    """How long a shard takes, in seconds."""
    flavour: Literal["plain", "salted"] = "plain"
    """One of two."""


@dataclass(frozen=True)
class Config(RunSettings):
    """A toy run."""

    items: int = 24
    """How many items are counted."""
    shards: int = 8
    """Parts that the counting is cut into."""
    detail: Detail = Detail()
    """More about it."""

    def __post_init__(self) -> None:
        check_range("items", self.items, 1, 1000)


CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    return f"toy · {config.items} items · {config.detail.flavour}"


def build_graph(config: Config, digests: FileDigests, cwd: Path, command: str) -> FlowPlan:
    """Return the run's work."""
    graph = Graph(digests)
    seconds = config.detail.seconds_per_shard
    first = graph.add("count", count.Request(items=config.items, shards=config.shards, seconds_per_shard=seconds), "first")
    graph.add("count", count.Request(items=config.items + 1, shards=config.shards, seconds_per_shard=seconds), "beside")
    last = graph.add("count", count.Request(items=3, shards=1, before=first.output), "last")
    return FlowPlan(graph, title(config), "toy", last.output, [])


def show(result: dict[str, Any]) -> str:
    """Return the result for the terminal."""
    return str(result)
