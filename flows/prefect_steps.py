"""Runs a graph of steps as Prefect tasks: one task per step, one per group of shards, with live progress and the stage's own log lines.

Task parameters are plain JSON, so that the same tasks can be sent to another host.
"""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task

from core import devices, launcher
from core.contract import build, load_spec, to_dict
from core.engine import Engine
from core.errors import InvalidValueError, StageCrashed, StageTimeout
from core.graph import Graph, Step
from core.heartbeat import Watch
from core.store import Store

RETRIES = 1
CLUSTER_TIMEOUT_S = 20.0
MAX_THREADS = 64
"""Threads of a flow's task runner; most of them only wait for a child or for what comes before them."""
PROGRESS_EVERY_S = 2.0
"""One artifact update costs about 10 ms on SQLite; more often helps nobody."""

Listener = Callable[[Step, dict[str, Any]], None]
_listeners: list[Listener] = []
"""Who in this process wants to see events besides Prefect: the terminal."""


def listen(listener: Listener) -> None:
    """Let ``listener`` see every event of the steps that run in this process."""
    _listeners.append(listener)


def threads() -> TaskRunner[Any]:
    """Return the task runner of a flow on one machine."""
    return ThreadPoolTaskRunner(max_workers=MAX_THREADS)


class Runner:
    """Where tasks run: in this process's threads, or on a Dask cluster that exists already.

    A context manager. On a cluster Dask chooses the host, by its workers' resource ``slot`` where they have one, and the lease on that
    host chooses the device. Only an address is used, never a cluster object: the flow travels with every task, and a live cluster
    cannot be pickled.
    """

    RESOURCE = "slot"

    def __init__(self, cluster: str = "") -> None:
        self.cluster = cluster
        self._dask: Any = None
        self._resources: dict[str, int] = {}
        self.width: int | None = None
        """Children that may run at once over all hosts; None: this host's own."""

    def __enter__(self) -> Runner:
        if self.cluster:
            from prefect_dask.task_runners import DaskTaskRunner

            self._dask = DaskTaskRunner(address=self.cluster, client_kwargs={"timeout": f"{CLUSTER_TIMEOUT_S:g}s"})
            try:
                self._dask.__enter__()
                workers = self._dask.client.scheduler_info(n_workers=-1)["workers"].values()
            except OSError as error:
                raise InvalidValueError(
                    f"no Dask scheduler answers ({error})", where="cluster", allowed="tcp://host:port", received=self.cluster,
                    hint="./run.sh up --cluster 2 starts a local one",
                ) from error  # fmt: skip
            if not workers:
                hint = "./run.sh up --cluster 2 starts some here; docs/operations.md says how on other machines"
                raise InvalidValueError(
                    "the cluster has no workers", where="cluster", allowed="at least one", received=self.cluster, hint=hint
                )
            slots = [worker["resources"].get(self.RESOURCE) for worker in workers]
            self._resources = {self.RESOURCE: 1} if all(slots) else {}
            self.width = int(sum(slots)) if all(slots) else sum(worker["nthreads"] for worker in workers)
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._dask is not None:
            self._dask.__exit__(*exception)

    def submit(self, task_: Task[..., Any], parameters: dict[str, Any], wait_for: list[PrefectFuture[Any]]) -> PrefectFuture[Any]:
        """Submit a task run that starts after ``wait_for``."""
        if self._dask is None:
            return task_.submit(**parameters, return_state=False, wait_for=wait_for)
        from dask.base import annotate

        with annotate(resources=self._resources) if self._resources else nullcontext():
            return self._dask.submit(task_, parameters=parameters, wait_for=wait_for)  # type: ignore[no-any-return]


def to_work(
    step: Step, store: Store, wanted_devices: str, heartbeat: Path | None = None, afresh: bool = False
) -> dict[str, Any]:  # fmt: skip
    """Return a step as JSON, complete enough to be done anywhere that shares the data root.

    Args:
        step: the step.
        store: where its output goes.
        wanted_devices: the ``devices`` setting.
        heartbeat: of the run, where the work may be done out of its reach; see :mod:`core.heartbeat`.
        afresh: whether it takes nothing over from earlier outputs.
    """
    return {
        "stage": step.stage.name, "request": to_dict(step.request), "key": step.key, "label": step.label, "identity": step.identity,
        "parents": list(step.parents), "data_root": str(store.root), "devices": wanted_devices,
        "heartbeat": str(heartbeat or ""), "afresh": afresh,
    }  # fmt: skip


def from_work(work: dict[str, Any]) -> tuple[Step, Engine]:
    """Return the step that :func:`to_work` wrote down, and an engine on this host for it."""
    spec = load_spec(work["stage"])
    request = build(spec.Request, work["request"], work["stage"])
    step = Step(spec.STAGE, request, work["key"], work["label"], work["identity"], tuple(work["parents"]))
    store, found = Store(Path(work["data_root"])), devices.discover(work["devices"])
    stop = Watch(Path(work["heartbeat"])) if work.get("heartbeat") else launcher.cancelled
    afresh = frozenset([step.stage.name] if work.get("afresh") else [])
    return step, Engine(store, found, observe=Reporter(), stop=stop, afresh=afresh)


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
            self._logger.info("%s: %s", step.label, event.get("message", ""))
        elif kind == "metric":
            self._logger.debug("%s: %s=%s at %s", step.label, event.get("name"), event.get("value"), event.get("step"))
        elif kind == "error":
            self._logger.error("%s: %s: %s\n%s", step.label, event.get("type"), event.get("message"), event.get("traceback"))
        elif kind == "progress" and event.get("total"):
            self._progress(step, 100.0 * float(event["done"]) / float(event["total"]))
        _tell(step, event)

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
    _tell(step, {"event": "published", "result": done.result, "usage": done.usage})
    return done.result


def run_graph(
    graph: Graph, engine: Engine, wanted_devices: str = "", runner: Runner | None = None, heartbeat: Path | None = None
) -> None:  # fmt: skip
    """Submit every step that is not done, each after those it reads, and wait for all of them.

    Independent branches go on when one fails; the first failure is raised at the end.

    Args:
        graph: the work.
        engine: knows what is done already, and this host's devices.
        wanted_devices: the ``devices`` setting.
        runner: where tasks run; this process's threads by default.
        heartbeat: the run's, for work on other hosts.

    Raises:
        StageFailed, StageCrashed, StageTimeout, StageCancelled: from the first step that failed.
    """
    place = runner or Runner()
    futures: dict[str, PrefectFuture[Any]] = {}
    submitted: list[tuple[Step, PrefectFuture[Any]]] = []
    for step in graph:
        if engine.store.done(step.stage.name, step.key):
            continue
        afresh = step.stage.name in engine.afresh
        work = to_work(step, engine.store, wanted_devices, heartbeat if place.cluster else None, afresh)
        before = [futures[parent] for parent in step.parents if parent in futures]
        groups = engine.shard_groups(step, place.width)
        parts = [
            place.submit(do_shards, {"name": f"{step.label} {number + 1}/{len(groups)}", "work": work, "shards": group}, before)
            for number, group in enumerate(groups)
        ]
        futures[step.output] = place.submit(do_step, {"name": step.label, "work": work}, [*before, *parts])
        submitted += [(step, future) for future in [*parts, futures[step.output]]]
    for step, future in submitted:
        future.wait()
        if place.cluster and future is futures[step.output] and (done := engine.store.done(step.stage.name, step.key)):
            _tell(step, {"event": "published", "result": done.result, "usage": done.usage})  # it happened in another process
    failures = [future for _, future in submitted if not future.state.is_completed()]
    for future in sorted(failures, key=_is_consequence):
        future.result(raise_on_failure=True)


def _tell(step: Step, event: dict[str, Any]) -> None:
    for listener in _listeners:
        listener(step, event)


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
