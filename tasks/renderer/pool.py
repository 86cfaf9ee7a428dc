"""Presets rendered by supervised processes: a plug-in that crashes, freezes or leaks costs its preset, and nothing else."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from core.contract import build, check_range, to_dict
from core.errors import SynthloomError
from tasks.renderer.interface import Audio, Note, PluginParameter, RenderSettings
from tasks.renderer.worker import ChildDied, ChildHung, Worker

AHEAD = 4
"""Jobs per worker that are taken from the caller before their outcome is asked for."""


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


class Pool:
    """Renders presets in child processes; a context manager.

    An outcome hangs on its job alone: not on the number of workers, nor on what a worker rendered before, as far as the plug-in lets
    itself be cleared (``RenderSettings.fresh``; ``repeatability.probe`` tells). A preset that ends or freezes a process that rendered
    others before gets a second try in a new one, where nothing but the preset can be to blame.

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
        self._workers = [Worker(backend_name, plugin, self.settings, start_timeout_s) for _ in range(workers)]
        self._timeout_s, self._recycle_renders, self._recycle_mb = timeout_s, recycle_renders, recycle_mb
        self._description: dict[str, Any] | None = None
        self._closed = threading.Event()
        self.started = 0
        """Processes started so far."""
        self._counting = threading.Lock()

    def __enter__(self) -> Pool:
        """Start one process, so that a plug-in that cannot be opened is found out at once.

        Raises:
            InvalidValueError: the back end cannot be opened.
        """
        # Processes die with the thread that started them (child._die_with), so all of them are started by threads that last.
        self._threads = ThreadPoolExecutor(len(self._workers), thread_name_prefix="render")
        self._free: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._free.put(worker)
        try:
            self._threads.submit(self._first).result()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all processes; jobs that are under way are lost."""
        self._closed.set()
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
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
        pending: deque[Future[Outcome]] = deque()
        try:
            for job in jobs:
                pending.append(self._threads.submit(self._one, job))
                if len(pending) >= AHEAD * len(self._workers):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def _first(self) -> None:
        worker = self._free.get()
        try:
            self._start(worker)
        finally:
            self._free.put(worker)

    def _start(self, worker: Worker) -> None:
        if self._closed.is_set():
            raise SynthloomError("the pool is closed")
        told = worker.started()
        with self._counting:
            self.started += 1
            if self._description is None:
                self._description = told

    def _one(self, job: Job) -> Outcome:
        """Render one job; runs in one of the pool's threads, of which there are as many as workers."""
        worker = self._free.get()
        try:
            before = worker.rendered if worker.is_running else 0
            outcome = self._tried(worker, job, 1)
            again = outcome.status in ("crash", "hang") and before and not self._closed.is_set()
            return self._tried(worker, job, 2) if again else outcome
        finally:
            self._free.put(worker)

    def _tried(self, worker: Worker, job: Job, tries: int) -> Outcome:
        if worker.rendered >= self._recycle_renders or worker.memory_mb > self._recycle_mb:
            worker.end()
        if not worker.is_running:
            self._start(worker)
        try:
            told, audio = worker.render(job.raw, job.note, self._timeout_s)
        except ChildHung as error:
            return Outcome(job.id, None, "hang", str(error), self._timeout_s, tries)
        except ChildDied as error:
            return Outcome(job.id, None, "crash", str(error), 0.0, tries)
        if told["reason"]:
            return Outcome(job.id, None, "error", told["reason"], told["seconds"], tries)
        return Outcome(job.id, audio, "ok", "", told["seconds"], tries)
