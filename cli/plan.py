"""``plan``: which steps would run, which are up to date and why, and how long it would take. Needs no server and runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from core import devices, donors
from core.graph import Graph, Step
from core.store import Store

UP_TO_DATE = "up to date"


@dataclass(frozen=True)
class PlannedStep:
    """What would happen to one step."""

    label: str
    output: str
    state: str
    """``up to date``, ``resume`` or ``run``."""
    why: str
    shards_done: int
    shards: int
    estimate_s: float | None
    """Seconds on one slot, from past runs; None when this stage never ran here."""


def plan(graph: Graph, store: Store, force: Sequence[str] = ()) -> list[PlannedStep]:
    """Return what would happen to every step of a graph."""
    history = store.history()
    running: set[str] = set()
    planned = []
    for step in graph:
        item = _plan_step(step, store, history, running, set(force))
        if item.state != UP_TO_DATE:
            running.add(step.output)
        planned.append(item)
    return planned


def _plan_step(step: Step, store: Store, history: list[dict[str, Any]], running: set[str], force: set[str]) -> PlannedStep:
    name = step.stage.name
    if store.done(name, step.key) and name not in force:
        return PlannedStep(step.label, step.output, UP_TO_DATE, "same request, inputs, code and environment", 0, step.shards, 0.0)
    finished = len(store.done_shards(name, step.key)) if step.stage.sharded and name not in force else 0
    why = "forced" if name in force else _why(step, store, running) + _lent(step, store)
    estimate = _estimate(name, step.shards, finished, history)
    return PlannedStep(step.label, step.output, "resume" if finished else "run", why, finished, step.shards, estimate)


def _why(step: Step, store: Store, running: set[str]) -> str:
    if any(parent in running for parent in step.parents):
        return "what it reads will be made anew"
    if store.partial(step.stage.name, step.key).exists():
        return "was interrupted"
    records = (store.done(step.stage.name, path.parent.name) for path in (store.root / "stages" / step.stage.name).glob("*/done.json"))
    newest = max((record for record in records if record), key=lambda record: record.finished_at, default=None)
    if newest is None:
        return "never ran"
    changed = [name for name in ("version", "code", "environment") if newest.identity.get(name) != step.identity[name]]
    then, now = newest.identity.get("request", {}), step.identity["request"]
    changed += [f"request.{name}" for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    return "changed since the last run: " + ", ".join(changed) if changed else "its output is gone"


def _lent(step: Step, store: Store) -> str:
    """Say that a step need not make every clip, where earlier outputs may lend some; the estimate knows nothing of it."""
    found = len(donors.find(store, step))
    return f"; {found} earlier output{'s' if found > 1 else ''} may lend clips" if found else ""


def _estimate(name: str, shards: int, finished: int, history: list[dict[str, Any]]) -> float | None:
    """Return the expected seconds: the median past child for whole stages, past seconds a shard times what is left for sharded ones."""
    past = [record for record in history if record["stage"] == name]
    if not past:
        return None
    combining = [record["wall_s"] for record in past if not record["units"] or not shards]
    per_shard = [record["wall_s"] / record["units"] for record in past if shards and record["units"]]
    seconds = median(combining[-9:]) if combining else 0.0
    if per_shard:
        seconds += median(per_shard[-9:]) * (shards - finished)
    return round(float(seconds), 1)


def total_estimate_s(planned: Sequence[PlannedStep], graph: Graph, found: Sequence[devices.Device]) -> float | None:
    """Return the expected wall-clock seconds, steps spread over the device slots; None when a needed stage was never timed."""
    work = 0.0
    for item in planned:
        if item.state == UP_TO_DATE:
            continue
        if item.estimate_s is None:
            return None
        stage = graph[item.output].stage
        share = min(stage.cpu_threads, len(found)) / max(1, len(found)) if found and found[0].kind == "cpu" else 1.0 / max(1, len(found))
        work += item.estimate_s * share
    return round(work, 1)


def as_text(planned: Sequence[PlannedStep], seconds: float | None) -> str:
    """Return the plan as a table with one line a step."""
    width = max((len(item.label) for item in planned), default=0)
    lines = []
    for item in planned:
        shards = f" ({item.shards_done} of {item.shards} shards done)" if item.shards_done else ""
        estimate = "" if item.state == UP_TO_DATE else "  about " + (f"{item.estimate_s:.0f} s" if item.estimate_s is not None else "? s")
        lines.append(f"  {item.label:<{width}}  {item.state:<10}  {item.why}{shards}{estimate}")
    pending = sum(item.state != UP_TO_DATE for item in planned)
    total = "" if not pending else f", about {seconds / 60:.1f} min" if seconds is not None else ", time unknown: a stage never ran here"
    lines.append(f"{pending} to run, {len(planned) - pending} up to date{total}")
    return "\n".join(lines)


def as_json(planned: Sequence[PlannedStep], seconds: float | None) -> dict[str, Any]:
    """Return the plan for machines."""
    return {"steps": [asdict(item) for item in planned], "to_run": sum(i.state != UP_TO_DATE for i in planned), "estimate_s": seconds}
