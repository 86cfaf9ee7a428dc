"""``deploy``: the work pool, every deployment of prefect.yaml, and the automation that ends zombie runs."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

from cli import server, settings
from core import environments, keys
from core.errors import SynthloomError

ZOMBIES = "synthloom: crash runs that went silent"
SILENT_AFTER_S = 540.0
"""Three heartbeats (PREFECT_FLOWS_HEARTBEAT_FREQUENCY=180)."""


class DeployError(SynthloomError):
    """Prefect refused a deployment."""


def deploy(prefect_server: server.Server, file: Path | None = None) -> list[str]:
    """Deploy what ``file`` (prefect.yaml) names and return the lines Prefect printed of it.

    Raises:
        DeployError: with what Prefect said.
    """
    os.environ.update(settings.prefect_environment(prefect_server.api_url))  # Prefect reads its settings at import, below
    make_pool()
    end_zombies()
    command = [str(environments.python("orchestrator")), "-m", "prefect", "--no-prompt", "deploy", "--all"]
    command += ["--prefect-file", str(file or keys.ROOT / "prefect.yaml")]
    finished = subprocess.run(command, cwd=keys.ROOT, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, check=False)
    # One failed deployment of several leaves the exit code at 0, so the text is looked at too.
    text = finished.stdout + finished.stderr
    if finished.returncode or "skipped" in text.lower() or "error" in text.lower():
        raise DeployError(f"prefect deploy failed:\n{text.strip()}")
    return [line.strip() for line in text.splitlines() if "successfully created" in line]


def make_pool() -> None:
    """Make the process work pool, unless it is there."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=settings.WORK_POOL, type="process", description="runs on the worker's own machine"))
        except ObjectAlreadyExists:
            return


def end_zombies(silent_after_s: float = SILENT_AFTER_S, name: str = ZOMBIES) -> None:
    """Make the automation that calls runs of deployments crashed when their heartbeats stop (a killed worker, a lost host).

    A self-hosted server does not have it by itself; the recipe is Prefect's (docs: advanced/detect-zombie-flows).
    """
    from prefect.automations import Automation
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    try:
        existing = Automation.read(name=name)
    except ValueError:
        existing = None
    if existing is not None:
        return
    Automation(
        name=name,
        description=f"Runs of deployments send a heartbeat every 180 s; one that was silent for {silent_after_s:g} s is dead.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *ends},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=silent_after_s),
        ),
        actions=[ChangeFlowRunState(name=None, state=StateType.CRASHED, message="no heartbeat: its worker or host is gone", force=False)],
    ).create()
