"""The process worker that runs deployments on this machine: started by ``./run.sh up``, stopped by ``./run.sh down``."""

from __future__ import annotations

import json
import os

from cli import server, services, settings
from core import environments

NAME = "worker"
WORKER = "this-machine"
START_LIMIT_S = 120.0


def start(prefect_server: server.Server) -> None:
    """Start the worker, unless it runs; it makes the work pool if there is none."""
    if services.running(NAME):
        return
    python = str(environments.python("orchestrator"))
    command = [python, "-m", "prefect", "worker", "start", "--pool", settings.WORK_POOL, "--type", "process", "--name", WORKER]
    environment = {**os.environ, **settings.prefect_environment(prefect_server.api_url), "PREFECT_WORKER_QUERY_SECONDS": "3"}
    services.launch(NAME, command, environment)


def wait(prefect_server: server.Server) -> None:
    """Return as soon as the worker has made itself known to the server.

    Raises:
        ServiceError: it ended, or did not come up in time.
    """

    def is_online() -> bool:
        known = json.loads(server.ask(prefect_server.api_url, f"work_pools/{settings.WORK_POOL}/workers/filter", {}) or b"[]")
        return any(item["name"] == WORKER and item["status"] == "ONLINE" for item in known)

    services.wait(NAME, is_online, START_LIMIT_S)
