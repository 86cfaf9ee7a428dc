"""What every flow's body does: build its graph from checked settings, run it under supervision, link the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_UI_URL

from core import devices
from core.contract import build
from core.engine import Engine
from core.keys import FileDigests
from core.launcher import supervised
from core.store import Store
from flows.prefect_steps import quiet_console, run_graph

MAX_THREADS = 64
"""Threads of a flow's task runner; most of them only wait for a child or for what comes before them."""

_on_started: list[Callable[[str], None]] = []
"""Who in this process wants to know the address of a run: the terminal."""


def on_started(listener: Callable[[str], None]) -> None:
    """Tell ``listener`` the UI address of every flow run that starts in this process."""
    _on_started.append(listener)


def run_body(name: str, module: Any, settings: dict[str, Any], data_root: str, cwd: str, command: str) -> str:
    """Do a flow's work and return the path of its page relative to the data root.

    Args:
        name: the flow's name.
        module: its graph module, with ``CONFIG`` and ``build_graph``.
        settings: the complete configuration, as plain JSON.
        data_root: where results land.
        cwd: folder that relative dataset paths refer to.
        command: what to type to get the same results; shown on the page.

    Raises:
        StageFailed, StageCrashed, StageTimeout, StageCancelled: from the first step that failed.
    """
    quiet_console()
    config = build(module.CONFIG, settings, name)
    root = Path(data_root)
    digests = FileDigests(root / "digests.json")
    plan = module.build_graph(config, digests, cwd=Path(cwd), command=command)
    digests.save()
    with supervised():
        for listener in _on_started:
            listener(ui_address())
        run_graph(plan.graph, Engine(Store(root), devices.discover(config.devices)), config.devices)
    link_page(name, root / plan.report)
    return f"{plan.report}/index.html"


def ui_address() -> str:
    """Return the address of the present flow run in the UI."""
    context = FlowRunContext.get()
    run_id = context.flow_run.id if context and context.flow_run else ""
    return f"{(PREFECT_UI_URL.value() or '').rstrip('/')}/runs/flow-run/{run_id}"


def link_page(name: str, report: Path) -> None:
    """Leave the page's address and the score table with the run; Prefect's own pages cannot play audio."""
    page = report / "index.html"
    create_link_artifact(link=page.as_uri(), link_text="result page", key=f"{name}-page", description=f"`{page}`")
    table = report / "scores.md"
    if table.is_file():
        create_markdown_artifact(markdown=table.read_text(), key=f"{name}-scores", description="scores")
