"""Runs a flow: server up, environments built, the Prefect flow started in this process, the result shown."""

from __future__ import annotations

import importlib
import os
import shlex
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from cli import flows, plan, runs, server, settings
from cli.console import Console
from core import atomic, devices, environments
from core.contract import to_dict
from core.engine import forget
from core.store import Store

EXIT_OK, EXIT_FAILED, EXIT_REFUSED, EXIT_INTERRUPTED = 0, 1, 2, 130


def run_flow(flow: str, words: Sequence[str], files: Sequence[Path]) -> int:
    """Run a flow to its end and return the exit code; 0 only when all of it is done."""
    signal.signal(signal.SIGTERM, _interrupt)
    root, console = settings.data_root(), Console()
    command = shlex.join(["./run.sh", flow, *words, *(part for path in files for part in ("--config", str(path)))])
    planned = flows.prepare(flow, words, files, root, settings.caller_path("."), command)
    store = Store(root)
    for step in planned.plan.graph:
        if step.stage.name in planned.config.force:
            forget(store, step)
    pending = [item for item in plan.plan(planned.plan.graph, store) if item.state != "up to date"]
    if not pending:
        return _show_again(planned, store, console)
    return _run(planned, store, console, command)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show_again(planned: flows.Planned, store: Store, console: Console) -> int:
    console.line(f"{planned.plan.title}: everything is up to date ({len(planned.plan.graph)} steps), nothing to run")
    earlier = runs.with_report(store.root, planned.plan.report)
    _show_result(planned, store, console, earlier.ui_url if earlier else "")
    return EXIT_OK


def _show_result(planned: flows.Planned, store: Store, console: Console, ui_url: str) -> None:
    _, stage, key = planned.plan.report.split("/")
    done = store.done(stage, key)
    assert done is not None
    console.line()
    console.line(planned.show(done.result))
    console.line()
    if ui_url:
        console.line(f"run in the Prefect UI   {ui_url}")
    console.line(f"page to look and listen {store.root / planned.plan.report / 'index.html'}")


def _run(planned: flows.Planned, store: Store, console: Console, command: str) -> int:
    found = devices.discover(planned.config.devices)
    console.line(planned.plan.title)
    console.line(plan.as_text(items := plan.plan(planned.plan.graph, store), plan.total_estimate_s(items, planned.plan.graph, found)))
    console.line(f"devices: {', '.join(device.label for device in found)}   data root: {store.root}")
    started_here = server.find() is None
    prefect_server = server.start()
    try:
        _build_environments(planned, store, console)
        server.wait(prefect_server)
        return _start(planned, store, console, command, prefect_server)
    except KeyboardInterrupt:
        console.line("interrupted; nothing half-done was published, the same command goes on where it stopped")
        if started_here:
            server.stop()
        return EXIT_INTERRUPTED


def _build_environments(planned: flows.Planned, store: Store, console: Console) -> None:
    """Build what the pending steps need; the first pending step's environment first."""
    needed = {step.stage.environment: None for step in planned.plan.graph if not store.done(step.stage.name, step.key)}
    for name in needed:
        environments.build(name, console.line)


def _start(planned: flows.Planned, store: Store, console: Console, command: str, prefect_server: server.Server) -> int:
    """Run the Prefect flow in this process. Prefect reads its settings at import, so it is imported only here."""
    os.environ.update(settings.prefect_environment(prefect_server.api_url))
    from flows import prefect_steps, running

    prefect_flow = importlib.import_module(f"flows.{planned.flow}.flow").FLOW

    run = runs.Run(
        run_id=runs.new_id(planned.flow, planned.plan.name), flow=planned.flow, title=planned.plan.title, command=command,
        started_at=time.time(),
        steps=[{"label": step.label, "stage": step.stage.name, "output": step.output} for step in planned.plan.graph],
        report=planned.plan.report, extra={"pid": os.getpid(), "exports": planned.plan.exports},
    )  # fmt: skip
    atomic.write_text(runs.folder(store.root, run.run_id) / runs.CONFIG, planned.config_text)
    runs.save(store.root, run)
    prefect_steps.listen(console.event)

    def remember_address(ui_url: str) -> None:
        run.ui_url = ui_url
        runs.save(store.root, run)
        console.line(f"watch it: {ui_url}")

    running.on_started(remember_address)
    try:
        with _MemoryWatch() as memory:
            prefect_flow(
                title=planned.plan.title, settings=to_dict(planned.config), data_root=str(store.root), cwd=str(settings.caller_path(".")),
                command=command,
            )  # fmt: skip
        run.state = "completed"
    except KeyboardInterrupt:
        run.state, run.error = "cancelled", "interrupted"
        raise
    except Exception as error:
        run.state, run.error = "failed", str(error)
        console.line(f"failed: {error}")
        console.line(f"run {run.run_id}; the same command resumes it; ./run.sh status shows all runs")
        return EXIT_FAILED
    finally:
        run.finished_at, run.peak_memory_mb = time.time(), memory.peak_mb
        runs.save(store.root, run)
    _show_result(planned, store, console, run.ui_url)
    wall = run.wall_s or 0.0
    console.line(f"{wall / 60:.1f} min, peak memory {run.peak_memory_mb / 1024:.1f} GB   (run {run.run_id})")
    return EXIT_OK


class _MemoryWatch:
    """Samples the resident memory of this process and all its descendants; its peak is an honest figure for the whole run."""

    EVERY_S = 1.0

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._stop.wait(self.EVERY_S):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue  # it ended between the two looks
            self.peak_mb = max(self.peak_mb, round(total / 2**20, 1))
