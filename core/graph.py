"""The work of one run as a graph of steps, keyed end to end before anything has run. No Prefect: ``plan`` uses it without a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from core import keys
from core.contract import Stage, load_spec
from core.errors import InvalidValueError


@dataclass(frozen=True)
class Step:
    """One stage with one request."""

    stage: Stage
    request: Any
    key: str
    label: str
    """What a person sees: ``train_ast gold_only seed 1``."""
    identity: dict[str, Any]
    """What the key was made of."""
    parents: tuple[str, ...]
    """Outputs this step reads."""

    @property
    def output(self) -> str:
        """Path of the output relative to the data root; what later requests name."""
        return f"stages/{self.stage.name}/{self.key}"

    @property
    def shards(self) -> int:
        """Number of shards, 0 for a stage that is done in one piece."""
        return int(self.request.shards) if self.stage.sharded else 0


class Graph:
    """Steps in an order in which every step comes after those it reads."""

    def __init__(self, digests: keys.FileDigests) -> None:
        self._digests = digests
        self._steps: dict[str, Step] = {}

    def add(self, stage_name: str, request: Any, label: str = "") -> Step:
        """Add one piece of work and return its step, whose ``output`` later requests may name; the same work twice is one step.

        Raises:
            InvalidValueError: the request names the output of a step that is not in the graph.
        """
        spec = load_spec(stage_name)
        parents = tuple(f"stages/{stage}/{key}" for stage, key in keys.dependencies(request))
        for parent in parents:
            if parent not in self._steps:
                where = label or stage_name
                raise InvalidValueError("reads an output that no step makes", where=where, allowed=list(self._steps), received=parent)
        identity = keys.identity(spec.STAGE, request, self._digests)
        step = Step(spec.STAGE, request, keys.key_of(identity), label or stage_name, identity, parents)
        return self._steps.setdefault(step.output, step)

    def leading_to(self, outputs: Iterable[str]) -> Graph:
        """Return the steps that make some outputs: their own and all those that these read, directly or not, in the same order."""
        wanted = set(outputs)
        for output, step in reversed(self._steps.items()):
            if output in wanted:
                wanted.update(step.parents)
        part = Graph(self._digests)
        part._steps = {output: step for output, step in self._steps.items() if output in wanted}
        return part

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps.values())

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, output: str) -> Step:
        return self._steps[output]


@dataclass(frozen=True)
class FlowPlan:
    """A flow's work, and what the command line shows of it."""

    graph: Graph
    title: str
    """Name of the run: ``synthio · esc10 · n=50 · seed 0``."""
    name: str
    """Short name for the run id: the dataset."""
    report: str
    """Output of the step that makes the page, or where the flow itself leaves one: a folder relative to the data root."""
    exports: list[str]
    """Dataset folders that ``export`` takes out."""
