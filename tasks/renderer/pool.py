"""Presets rendered by supervised processes: a plug-in that crashes, freezes or leaks costs its preset, and nothing else."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.contract import build, check_range, to_dict
from core.errors import SynthloomError
from tasks.renderer.interface import Audio, Note, PluginParameter, RenderSettings
from tasks.renderer.messages import Answer
from tasks.renderer.worker import ChildDied, Worker

AHEAD = 4
"""Jobs per worker that are taken from the caller before their outcome is asked for, and that a process may have at once."""


@dataclass(frozen=True)
class Job:
    """One preset to render."""

    id: Any
    """The caller's own."""
    raw: Mapping[int, float]
    """Raw values by the plug-in's index; what is not named is at its default."""
    note: Note = field(default_factory=Note)
    """To play."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    id: Any
    """The job's."""
    audio: Audio | None
    """Mono, faded, not normalised: float32 [samples]; None unless ``ok``."""
    status: Literal["ok", "crash", "hang", "error"]
    """``crash``: ended the process; ``hang``: did not answer in time; ``error``: raised, or is not made of numbers."""
    reason: str = ""
    """Of what is not ``ok``: signal and last words, limit, or message."""
    seconds: float = 0.0
    """Rendering took, as the child measured; the limit for a hang, 0 for a crash."""
    tries: int = 1
    """2: the first try ended a process that had rendered other presets before."""


@dataclass(eq=False)
class _Task:
    """A job on its way."""

    job: Job
    tries: int = 1
    outcome: Outcome | None = None


class Pool:
    """Renders presets in child processes; a context manager. Used by one thread, which must last: processes end with who started them.

    An outcome hangs on its job alone: not on the number of workers, nor on what a worker rendered before, as far as the plug-in lets
    itself be cleared (``RenderSettings.fresh``; ``repeatability.probe`` tells). A preset that ends or freezes a process that rendered
    others before gets a second try in a new one, where nothing but the preset can be to blame. Processes have their next orders before
    they are done, so that they wait for nobody; what one leaves unanswered is given out again.

    Args:
        backend_name: as for ``open_back_end``.
        plugin: likewise.
        settings: likewise; by default all as in synth-proxy.
        workers: processes.
        timeout_s: wall-clock limit of one preset.
        recycle_renders: presets after which a process is replaced.
        recycle_mb: memory above which a process is replaced.
        start_timeout_s: wall-clock limit of loading.
    """

    def __init__(
        self, backend_name: str, plugin: str = "", settings: RenderSettings | None = None, workers: int = 1, timeout_s: float = 30.0,
        recycle_renders: int = 1000, recycle_mb: float = 1500.0, start_timeout_s: float = 120.0,
    ) -> None:  # fmt: skip
        check_range("pool.workers", workers, 1, 256)
        check_range("pool.timeout_s", timeout_s, 0.01, 3600.0)
        check_range("pool.recycle_renders", recycle_renders, 1, 10**9)
        check_range("pool.recycle_mb", recycle_mb, 1.0, 10**6)
        self.settings = settings or RenderSettings()
        self._workers = [Worker(backend_name, plugin, self.settings, AHEAD) for _ in range(workers)]
        self._timeout_s, self._start_timeout_s = timeout_s, start_timeout_s
        self._recycle_renders, self._recycle_mb = recycle_renders, recycle_mb
        self._description: dict[str, Any] | None = None
        self._waiting: deque[_Task] = deque()
        self._second_tries: dict[Worker, _Task] = {}
        self._closed = False
        self.started = 0
        """Processes started so far."""

    def __enter__(self) -> Pool:
        """Start one process, so that a plug-in that cannot be opened is found out at once.

        Raises:
            InvalidValueError: the back end cannot be opened.
        """
        try:
            self._start(self._workers[0])
            while self._workers[0].is_busy:
                self._attend()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all processes; jobs that are under way are lost."""
        self._closed = True
        for worker in self._workers:
            worker.end()

    def parameters(self) -> list[PluginParameter]:
        """Return what can be set."""
        assert self._description is not None
        return [build(PluginParameter, one) for one in self._description["parameters"]]

    def identity(self) -> dict[str, Any]:
        """Return what the sound hangs on beside presets and notes: plug-in, host, and the settings of rendering (``render``)."""
        assert self._description is not None
        return {**self._description["identity"], "render": to_dict(self.settings)}

    def render(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Render jobs and yield their outcomes in the jobs' order; a few jobs per worker are taken ahead, no more.

        Raises:
            InvalidValueError: a process that had to be replaced could not be.
        """
        pending: deque[_Task] = deque()
        try:
            for job in jobs:
                pending.append(_Task(job))
                self._waiting.append(pending[-1])
                self._deal()
                if len(pending) >= AHEAD * len(self._workers):
                    yield self._outcome_of(pending.popleft())
            while pending:
                yield self._outcome_of(pending.popleft())
        finally:
            # What has been ordered is rendered to its end for nobody.
            self._waiting = deque(task for task in self._waiting if task not in pending)

    def _outcome_of(self, task: _Task) -> Outcome:
        while task.outcome is None:
            self._attend()
        return task.outcome

    def _deal(self) -> None:
        """Give waiting tasks to the processes that have the least to do; start and replace processes where that helps."""
        for worker in self._workers:
            if worker.is_running and not worker.is_busy and self._is_spent(worker):
                worker.end()
        while self._waiting:
            able = [worker for worker in self._workers if worker.has_room and not self._is_spent(worker)]
            best = min(able, key=lambda worker: worker.orders, default=None)
            absent = [worker for worker in self._workers if not worker.is_running]
            loading = sum(worker.is_loading for worker in self._workers)
            if absent and loading < len(self._waiting) and (best is None or best.orders):
                self._start(absent[0])
            elif best is not None:
                self._order(best, self._waiting.popleft())
            else:
                return

    def _is_spent(self, worker: Worker) -> bool:
        """Whether a process takes no further order, since it is to be replaced."""
        return worker.rendered + worker.orders >= self._recycle_renders or worker.memory_mb > self._recycle_mb

    def _order(self, worker: Worker, task: _Task) -> None:
        worker.order(task, task.job.raw, task.job.note)

    def _start(self, worker: Worker) -> None:
        if self._closed:
            raise SynthloomError("the pool is closed")
        worker.start()
        self.started += 1

    def _attend(self) -> None:
        """Wait until a process says something, ends or is overdue, and act on it."""
        busy = {worker.descriptor: worker for worker in self._workers if worker.is_busy}
        if not busy:
            raise SynthloomError("the pool is closed")
        ready = select.poll()  # not select(), which cannot do with more than 1,024 open files
        for descriptor in busy:
            ready.register(descriptor, select.POLLIN)
        wait_s = min(map(self._deadline, busy.values())) - time.monotonic()
        heard = [busy[descriptor] for descriptor, _ in ready.poll(max(0.0, wait_s) * 1000)]
        for worker in heard:
            self._hear(worker)
        for worker in busy.values():
            if worker not in heard and self._deadline(worker) <= time.monotonic():
                self._overdue(worker)
        self._deal()

    def _deadline(self, worker: Worker) -> float:
        return worker.since + (self._start_timeout_s if worker.is_loading else self._timeout_s)

    def _hear(self, worker: Worker) -> None:
        if worker.is_loading:
            if worker.loaded():
                self._description = self._description or worker.description
                if worker in self._second_tries:
                    self._order(worker, self._second_tries.pop(worker))
            return
        try:
            for task, answer, audio in worker.answers():
                task.outcome = _outcome(task, answer, audio)
        except ChildDied as error:
            self._lost(worker, "crash", str(error), 0.0)

    def _overdue(self, worker: Worker) -> None:
        if worker.is_loading:
            worker.fail(f"while loading: no answer within {self._start_timeout_s:g} s{worker.tail()}")
        self._lost(worker, "hang", f"no answer within {self._timeout_s:g} s{worker.tail()}", self._timeout_s)

    def _lost(self, worker: Worker, status: Literal["crash", "hang"], reason: str, seconds: float) -> None:
        """Blame the first preset that a process did not answer, and give out the others again."""
        rendered = worker.rendered
        task, *others = worker.end()
        self._waiting.extendleft(reversed(others))
        if rendered and task.tries == 1:
            task.tries = 2
            self._second_tries[worker] = task
            self._start(worker)
        else:
            task.outcome = Outcome(task.job.id, None, status, reason, seconds, task.tries)


def _outcome(task: _Task, answer: Answer, audio: Audio) -> Outcome:
    if answer.reason:
        return Outcome(task.job.id, None, "error", answer.reason, answer.seconds, task.tries)
    return Outcome(task.job.id, audio, "ok", "", answer.seconds, task.tries)
