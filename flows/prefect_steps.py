"""Runs a graph of steps as Prefect tasks: one task per step, one per group of shards, with live progress and the stage's own log lines.

Task parameters are plain JSON, so that the same tasks can be sent to another host.
"""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.tasks import Task

from core import devices
from core.contract import build, load_spec, to_dict
from core.engine import Engine
from core.errors import StageCrashed, StageTimeout
from core.graph import Graph, Step
from core.store import Store

RETRIES = 1
PROGRESS_EVERY_S = 2.0
"""One artifact update costs about 10 ms on SQLite; more often helps nobody."""

Listener = Callable[[Step, dict[str, Any]], None]
_listeners: list[Listener] = []
"""Who in this process wants to see events besides Prefect: the terminal."""


def listen(listener: Listener) -> None:
    """Let ``listener`` see every event of the steps that run in this process."""
    _listeners.append(listener)


def to_work(step: Step, store: Store, wanted_devices: str) -> dict[str, Any]:
    """Return a step as JSON, complete enough to be done anywhere that shares the data root."""
    return {
        "stage": step.stage.name, "request": to_dict(step.request), "key": step.key, "label": step.label, "identity": step.identity,
        "parents": list(step.parents), "data_root": str(store.root), "devices": wanted_devices,
    }  # fmt: skip


def from_work(work: dict[str, Any]) -> tuple[Step, Engine]:
    """Return the step that :func:`to_work` wrote down, and an engine on this host for it."""
    spec = load_spec(work["stage"])
    request = build(spec.Request, work["request"], work["stage"])
    step = Step(spec.STAGE, request, work["key"], work["label"], work["identity"], tuple(work["parents"]))
    return step, Engine(Store(Path(work["data_root"])), devices.discover(work["devices"]), observe=Reporter())


class Reporter:
    """Hands a child's events to the task run's log, to its progress artifact and to this process's listeners."""

    def __init__(self) -> None:
        # Captured here, in the task's own thread: the reader threads of the launcher have no run context.
        self._logger = get_run_logger()
        self._artifact: Any = None
        self._updated = 0.0

    def __call__(self, step: Step, event: dict[str, Any]) -> None:
        """Report one event."""
        kind = event["event"]
        if kind == "log":
            self._logger.info(event.get("message", ""))
        elif kind == "metric":
            self._logger.debug("%s=%s at %s", event.get("name"), event.get("value"), event.get("step"))
        elif kind == "error":
            self._logger.error("%s: %s\n%s", event.get("type"), event.get("message"), event.get("traceback"))
        elif kind == "progress" and event.get("total"):
            self._progress(step, 100.0 * float(event["done"]) / float(event["total"]))
        for listener in _listeners:
            listener(step, event)

    def _progress(self, step: Step, percent: float) -> None:
        now = time.monotonic()
        if self._artifact is None:
            key = re.sub(r"[^a-z0-9]+", "-", step.label.lower()).strip("-")
            self._artifact = create_progress_artifact(progress=percent, key=key, description=step.label)
        elif percent >= 100 or now - self._updated >= PROGRESS_EVERY_S:
            update_progress_artifact(artifact_id=self._artifact, progress=percent)
        else:
            return
        self._updated = now


def _worth_a_retry(task_: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Crashes and time-outs may pass; a stage that raised would raise again."""
    try:
        state.result()
    except (StageCrashed, StageTimeout):
        return True
    except Exception:
        return False
    return False


@task(task_run_name="{name}", retries=RETRIES, retry_condition_fn=_worth_a_retry, cache_policy=NO_CACHE, persist_result=False)
def do_shards(name: str, work: dict[str, Any], shards: list[int]) -> int:
    """Do some shards of a step; returns how many."""
    step, engine = from_work(work)
    engine.run_shards(step, shards)
    return len(shards)


@task(task_run_name="{name}", retries=RETRIES, retry_condition_fn=_worth_a_retry, cache_policy=NO_CACHE, persist_result=False)
def do_step(name: str, work: dict[str, Any]) -> dict[str, Any]:
    """Do a step to its end; returns its result."""
    step, engine = from_work(work)
    done = engine.run(step)
    for listener in _listeners:
        listener(step, {"event": "published", "result": done.result, "usage": done.usage})
    return done.result


def run_graph(graph: Graph, engine: Engine, wanted_devices: str = "") -> None:
    """Submit every step that is not done, each after those it reads, and wait for all of them.

    Independent branches go on when one fails; the first failure is raised at the end.

    Raises:
        StageFailed, StageCrashed, StageTimeout, StageCancelled: from the first step that failed.
    """
    futures: dict[str, PrefectFuture[Any]] = {}
    submitted: list[PrefectFuture[Any]] = []
    for step in graph:
        if engine.store.done(step.stage.name, step.key):
            continue
        work = to_work(step, engine.store, wanted_devices)
        before = [futures[parent] for parent in step.parents if parent in futures]
        groups = engine.shard_groups(step)
        parts = [
            do_shards.submit(f"{step.label} {number + 1}/{len(groups)}", work, group, return_state=False, wait_for=before)
            for number, group in enumerate(groups)
        ]  # fmt: skip
        futures[step.output] = do_step.submit(step.label, work, return_state=False, wait_for=[*before, *parts])
        submitted += [*parts, futures[step.output]]
    for future in submitted:
        future.wait()
    failures = [future for future in submitted if not future.state.is_completed()]
    for future in sorted(failures, key=_is_consequence):
        future.result(raise_on_failure=True)


def _is_consequence(future: PrefectFuture[Any]) -> bool:
    """Whether a step only failed because one before it did."""
    return future.state.is_pending()


@functools.cache
def quiet_console() -> None:
    """Keep Prefect's log lines for the server; the terminal shows synthloom's own progress instead."""
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            if "Console" in type(handler).__name__:
                handler.setLevel(logging.CRITICAL)
