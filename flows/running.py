"""What every flow's body does: build its graph from checked settings, run it under supervision, record the run, link the page."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL

from core import atomic, config, devices, places, runs, usage
from core.contract import build
from core.engine import Engine, forget_forced
from core.graph import FlowPlan
from core.heartbeat import Heartbeat
from core.keys import FileDigests
from core.launcher import supervised
from core.run_pages.write import write as write_run_pages
from core.store import Store
from flows.prefect_steps import Runner, quiet_console, run_graph

PAGES_RECORD = "prefect/pages.json"
"""Where the server of the result pages says its address, relative to the data root."""

_on_started: list[Callable[[str], None]] = []
"""Who in this process wants to know the address of a run: the terminal."""


def on_started(listener: Callable[[str], None]) -> None:
    """Tell ``listener`` the UI address of every flow run that starts in this process."""
    _on_started.append(listener)


@dataclass(frozen=True)
class Flow:
    """What :func:`run_body` must know of a flow."""

    name: str
    graph: Any
    """Its graph module, with ``CONFIG``, ``title`` and ``build_graph``, and ``finish`` where there is something to do at the end."""


def run_name(flow: Flow) -> Callable[[], str]:
    """Return what Prefect calls to name a run: ``synthio · esc10 · n=50 · seed 1``."""

    def name() -> str:
        given = flow_run.parameters.get("config", {})
        return str(flow.graph.title(build(flow.graph.CONFIG, given, flow.name)))

    return name


def run_body(flow: Flow, settings: Any, data_root: str = "", cwd: str = "", command: str = "") -> str:
    """Do a flow's work and return the path of its page relative to the data root.

    Args:
        flow: the flow.
        settings: the complete configuration, as the flow's own dataclass or as plain JSON.
        data_root: where results land; empty: ``SYNTHLOOM_DATA``, else ``./data``.
        cwd: folder that relative dataset paths refer to; empty: where run.sh or the worker was started.
        command: what to type to get the same results; empty: made up from the settings.

    Raises:
        StageFailed, StageCrashed, StageTimeout, StageCancelled: from the first step that failed.
    """
    quiet_console()
    checked = build(flow.graph.CONFIG, settings, flow.name)
    root = places.data_root(data_root)
    digests = FileDigests(root / "digests.json")
    command = command or config.as_command(flow.name, checked)
    plan = flow.graph.build_graph(checked, digests, cwd=Path(cwd) if cwd else places.caller_path("."), command=command)
    digests.save()
    store = Store(root)
    with _recorded(flow.name, plan, root, command, config.to_yaml(checked)) as run, supervised(), Runner(checked.cluster) as runner:
        if hasattr(flow.graph, "page_of"):
            run.extra["page"] = ""  # it has none of its own until it has decided something
        forget_forced(store, plan.graph, checked.force)
        afresh = checked.force if checked.reuse else {step.stage.name for step in plan.graph}
        found = devices.discover(checked.devices)
        run.extra["devices"] = [device.label for device in found]
        engine = Engine(store, found, afresh=frozenset(afresh))
        with Heartbeat(root / "runs" / run.run_id / "heartbeat") as beat:
            run_graph(plan.graph, engine, checked.devices, runner, beat.path)
        try:
            if hasattr(flow.graph, "finish"):
                get_run_logger().info(flow.graph.finish(checked, plan, store))
        finally:  # a version that was refused has a page, too
            if hasattr(flow.graph, "page_of"):
                run.extra["page"] = flow.graph.page_of(checked, store)
            publish_artifacts(flow.name, plan, store)
    return f"{plan.report}/index.html"


@contextmanager
def _recorded(name: str, plan: FlowPlan, root: Path, command: str, text: str) -> Iterator[runs.Run]:
    """Keep the run's record below the data root, whoever started it and however it ends."""
    run = runs.Run(
        run_id=runs.new_id(root, name, plan.name), flow=name, title=plan.title, command=command, started_at=time.time(),
        steps=[{"label": step.label, "stage": step.stage.name, "output": step.output} for step in plan.graph],
        report=plan.report, ui_url=ui_address(),
        extra={"pid": os.getpid(), "exports": plan.exports, "dataset": plan.name},
    )  # fmt: skip
    atomic.write_text(runs.folder(root, run.run_id) / runs.CONFIG, text)
    runs.save(root, run)
    _list(root)
    for listener in _on_started:
        listener(run.ui_url)
    watch = usage.MemoryWatch()
    try:
        with watch:
            yield run
        run.state = "completed"
    except Exception as error:
        run.state, run.error = "failed", str(error)
        raise
    except BaseException as error:  # Ctrl-C, or the worker's SIGTERM when a run is cancelled in the UI
        run.state, run.error = "cancelled", f"stopped before its end ({type(error).__name__}); the same command goes on where it was"
        raise
    finally:
        run.finished_at, run.peak_memory_mb = time.time(), watch.peak_mb
        runs.save(root, run)
        _list(root)


def _list(root: Path) -> None:
    """Write the index of all runs; that it cannot be written is no reason for a run to fail."""
    try:
        write_run_pages(root)
    except Exception as error:
        get_run_logger().warning("the index of all runs could not be written: %s; ./run.sh pages tries again", error)


def ui_address() -> str:
    """Return the address of the present flow run in the UI."""
    context = FlowRunContext.get()
    run_id = context.flow_run.id if context and context.flow_run else ""
    return f"{(PREFECT_UI_URL.value() or '').rstrip('/')}/runs/flow-run/{run_id}"


def page_address(root: Path, report: str) -> str:
    """Return the address of a page: on the page server that was set (``SYNTHLOOM_PAGES_URL``) or started here, else the file's."""
    if os.environ.get("SYNTHLOOM_PAGES_URL"):
        return f"{os.environ['SYNTHLOOM_PAGES_URL'].rstrip('/')}/{report}/index.html"
    try:
        base = json.loads((root / PAGES_RECORD).read_text())["url"]
    except (OSError, ValueError, KeyError):
        return (root / report / "index.html").as_uri()
    return f"{base}/{report}/index.html"


def publish_artifacts(name: str, plan: FlowPlan, store: Store) -> None:
    """Leave the page's address, the score table and the costs with the run; Prefect's own pages cannot play audio."""
    name = name.replace("_", "-")  # all that Prefect takes in a key
    page, report = page_address(store.root, plan.report), store.root / plan.report
    create_link_artifact(link=page, link_text="result page", key=f"{name}-page", description=f"[{plan.title}]({page})")
    table = report / "scores.md"
    if table.is_file():
        summary = f"## {plan.title}\n\n{table.read_text()}\n\n[page to look and listen]({page})\n"
        create_markdown_artifact(markdown=summary, key=f"{name}-scores", description="scores")
    costs = usage.table(plan.graph, store)
    if costs:
        create_table_artifact(table=costs, key=f"{name}-costs", description="what every step cost, over all attempts")
