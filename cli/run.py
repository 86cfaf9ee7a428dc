"""Runs a flow: server up, environments built, the Prefect flow started in this process, the result shown."""

from __future__ import annotations

import importlib
import os
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from cli import flows, pages, plan, server, services, settings
from cli.console import Console
from core import devices, environments, places, runs
from core.contract import to_dict
from core.errors import NotPublishedError
from core.store import Store

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


def run_flow(flow: str, words: Sequence[str], files: Sequence[Path]) -> int:
    """Run a flow to its end and return the exit code; 0 only when all of it is done."""
    signal.signal(signal.SIGTERM, _interrupt)
    root, console = places.data_root(), Console()
    command = shlex.join(["./run.sh", flow, *words, *(part for path in files for part in ("--config", str(path)))])
    planned = flows.prepare(flow, words, files, root, places.caller_path("."), command)
    store = Store(root)
    items = plan.plan(planned.plan.graph, store, planned.config.force)
    if all(item.state == plan.UP_TO_DATE for item in items):
        return _show_again(planned, store, console)
    return _run(planned, items, store, console, command)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show_again(planned: flows.Planned, store: Store, console: Console) -> int:
    console.line(f"{planned.plan.title}: everything is up to date ({len(planned.plan.graph)} steps), nothing to run")
    earlier = runs.with_report(store.root, planned.plan.report)
    _show_result(planned, store, console, earlier.ui_url if earlier else "")
    return EXIT_OK


def _show_result(planned: flows.Planned, store: Store, console: Console, ui_url: str) -> None:
    parts = planned.plan.report.split("/")
    if parts[0] == "stages":
        done = store.done(parts[1], parts[2])
        assert done is not None
        console.line()
        console.line(planned.show(done.result))
    console.line()
    if ui_url:
        console.line(f"run in the Prefect UI   {ui_url}")
    page = store.root / planned.plan.report / "index.html"
    if page.is_file():
        console.line(f"page to look and listen {page}")
    if said := planned.finish(store):
        console.line(said)


def _run(planned: flows.Planned, items: list[plan.PlannedStep], store: Store, console: Console, command: str) -> int:
    found = devices.discover(planned.config.devices)
    console.line(planned.plan.title)
    console.line(plan.as_text(items, plan.total_estimate_s(items, planned.plan.graph, found)))
    console.line(f"devices: {', '.join(device.label for device in found)}   data root: {store.root}")
    started_here = server.find() is None
    prefect_server = server.start()
    pages.start()
    try:
        _build_environments(planned, items, console)
        server.wait(prefect_server)
        return _start(planned, store, console, command, prefect_server)
    except KeyboardInterrupt:
        console.line("interrupted; nothing half-done was published, the same command goes on where it stopped")
        if started_here:
            services.stop(pages.NAME)
            server.stop()
        return EXIT_INTERRUPTED


def _build_environments(planned: flows.Planned, items: list[plan.PlannedStep], console: Console) -> None:
    """Build what the pending steps need; the first pending step's environment first."""
    needed = {planned.plan.graph[item.output].stage.environment: None for item in items if item.state != plan.UP_TO_DATE}
    for name in needed:
        environments.build(name, console.line)


def _start(planned: flows.Planned, store: Store, console: Console, command: str, prefect_server: server.Server) -> int:
    """Run the Prefect flow in this process. Prefect reads its settings at import, so it is imported only here."""
    os.environ.update(settings.prefect_environment(prefect_server.api_url, console="CRITICAL"))
    from flows import prefect_steps, running

    prefect_flow = importlib.import_module(f"flows.{planned.flow}.flow").FLOW
    prefect_steps.listen(console.event)
    running.on_started(lambda ui_url: console.line(f"watch it: {ui_url}"))
    try:
        prefect_flow(
            config=to_dict(planned.config), data_root=str(store.root), cwd=str(places.caller_path(".")), command=command,
        )  # fmt: skip
    except NotPublishedError as error:
        console.line(str(error))
        return EXIT_FAILED
    except Exception as error:
        console.line(f"failed: {error}")
        console.line("the same command resumes it; ./run.sh status shows all runs")
        return EXIT_FAILED
    run = runs.with_report(store.root, planned.plan.report)  # not the newest: another one may have begun meanwhile
    assert run is not None
    _show_result(planned, store, console, run.ui_url)
    console.line(f"{(run.wall_s or 0.0) / 60:.1f} min, peak memory {run.peak_memory_mb / 1024:.1f} GB   (run {run.run_id})")
    return EXIT_OK
