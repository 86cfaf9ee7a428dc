"""One house with the toy flow's deployments, shared by the tests of this folder: a server takes half a minute to start."""

import pytest

from tests.house import ROOT, House


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """A data root with a running server, page server and worker."""
    made = House(tmp_path_factory.mktemp("house"))
    up = made.cli("up")
    try:
        assert up.returncode == 0, up.stdout + up.stderr + made.log("server") + made.log("worker")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def toy(house):
    """The toy flow's deployments by name, the schedule switched off."""
    deployed = house.cli("deploy", "--file", str(ROOT / "tests/toy/prefect.yaml"))
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    found = {item["name"]: item for item in house.ask("deployments/filter", {})}
    schedule = found["every-few-seconds"]["schedules"][0]
    house.ask(f"deployments/{found['every-few-seconds']['id']}/schedules/{schedule['id']}", {"active": False}, "PATCH")
    return found


def start(house, deployment, config):
    """Start a run of a deployment and return its id."""
    body = {"parameters": {"config": config}, "state": {"type": "SCHEDULED"}}
    return house.ask(f"deployments/{deployment['id']}/create_flow_run", body)["id"]


def state(house, run_id):
    """Return a run's present state."""
    return house.ask(f"flow_runs/{run_id}")["state"]


def ended(house, run_id, limit_s=120):
    """Wait for a run's last state and return it."""
    return house.until(
        lambda: (now := state(house, run_id))["type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED") and now,
        limit_s,
        "the end of the run",
    )
