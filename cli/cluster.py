"""A local Dask cluster to try ``cluster=`` with: one scheduler and some workers on 127.0.0.1 (``./run.sh up --cluster N``)."""

from __future__ import annotations

import os

from cli import server, services, settings
from core import environments
from core.errors import InvalidValueError

SCHEDULER, WORKER = "dask-scheduler", "dask-worker"
START_LIMIT_S = 60.0
THREADS = 8
"""Of a worker; most of its tasks only wait for a child or for a lease."""


def start(prefect_server: server.Server, workers: int) -> str:
    """Start a scheduler and ``workers`` workers, unless they run, and return the scheduler's address.

    Workers import the flows, so they get the Prefect API's address and the checkout on their path; without the address each would try
    to start a server of its own.

    Raises:
        InvalidValueError: fewer than one worker.
    """
    if workers < 1:
        raise InvalidValueError("out of range", where="up --cluster", allowed="1 or more workers", received=workers)
    found = services.running(SCHEDULER)
    environment = {**os.environ, **settings.prefect_environment(prefect_server.api_url), "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    python = str(environments.python("orchestrator"))
    if not found:
        port = services.free_port()
        address = f"tcp://{services.LOOPBACK}:{port}"
        command = [python, "-m", "distributed.cli.dask_scheduler", "--host", services.LOOPBACK, "--port", str(port), "--no-dashboard"]
        services.launch(SCHEDULER, command, environment, address=address)
        services.wait(SCHEDULER, lambda: services.listens(port), START_LIMIT_S)
    else:
        address = str(found["address"])
    for number in range(workers):
        name = f"{WORKER}-{number}"
        if not services.running(name):
            command = [
                python, "-m", "distributed.cli.dask_worker", address, "--host", services.LOOPBACK, "--nthreads", str(THREADS), "--no-nanny",
                "--no-dashboard", "--resources", f"slot={THREADS}", "--name", name,
                "--local-directory", str(settings.prefect_home() / "dask"), "--death-timeout", "60",
            ]  # fmt: skip
            services.launch(name, command, environment)
    return address


def stop() -> int:
    """Stop the workers and the scheduler; returns how many of them ran."""
    names = sorted(path.stem for path in settings.prefect_home().glob(f"{WORKER}-*.json"))
    return sum(services.stop(name) for name in [*names, SCHEDULER])
