"""Deployments as Prefect's users know them: a real server, a real worker, runs by API, cancelled, scheduled."""

import json
import time

from core import runs
from tests.flows.conftest import ended, start, state
from tests.house import ROOT


def test_parameters_are_a_form_with_help_choices_and_closed_keys(toy):
    schema = toy["form"]["parameter_openapi_schema"]
    config = schema["definitions"]["Config"]
    assert config["properties"]["items"]["description"].startswith("How many items") and config["additionalProperties"] is False
    assert schema["definitions"]["Detail"]["properties"]["flavour"]["enum"] == ["plain", "salted"]
    assert "in seconds" in schema["definitions"]["Detail"]["properties"]["seconds_per_shard"]["description"]
    assert str(ROOT) not in json.dumps(toy["form"]), "no path of this machine is in the deployment"


def test_run_of_a_deployment_works_and_leaves_record_costs_and_link(house, toy):
    run_id = start(house, toy["form"], {"items": 12, "detail": {"flavour": "salted"}})
    assert ended(house, run_id)["type"] == "COMPLETED", house.log("worker")
    flow_run = house.ask(f"flow_runs/{run_id}")
    assert flow_run["name"] == "toy · 12 items · salted"
    artifacts = {item["key"]: item for item in house.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}})}
    assert artifacts["toy-page"]["data"].startswith(f"[result page]({house.record('pages')['url']}/stages/count/")
    costs = artifacts["toy-costs"]["data"]
    rows = costs if isinstance(costs, list) else json.loads(costs)
    assert [row["step"] for row in rows] == ["first", "beside", "last", "all"]
    assert rows[-1]["wall s"] > 0 and rows[-1]["read MB"] > 0 and rows[-1]["written MB"] > 0 and rows[-1]["peak MB"] > 5
    record = runs.load(house.root, "last")
    assert record.state == "completed" and run_id in record.ui_url and record.peak_memory_mb > 20
    status = house.cli("status", "last")
    assert "beside" in status.stdout and "peak MB" in status.stdout


def test_values_the_contract_refuses_never_start_a_stage(house, toy):
    run_id = start(house, toy["form"], {"items": 5000})
    assert ended(house, run_id)["type"] in ("FAILED", "CRASHED")
    assert not house.children()


def test_cancelling_in_the_ui_kills_the_children_within_fifteen_seconds(house, toy):
    run_id = start(house, toy["form"], {"items": 7, "detail": {"seconds_per_shard": 100.0}})
    children = house.until(house.children, 60, "the start of a child")
    house.ask(f"flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}, "force": True})
    asked = time.monotonic()
    house.until(lambda: not house.children(), 15, f"the end of {children}")
    assert time.monotonic() - asked < 15
    assert ended(house, run_id, 60)["type"] == "CANCELLED"
    assert runs.load(house.root, "last").state == "cancelled"


def test_schedule_fires_and_a_second_run_is_not_started_beside_the_first(house, toy):
    deployment = toy["every-few-seconds"]
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW" and deployment["global_concurrency_limit"]["limit"] == 1
    schedule = deployment["schedules"][0]
    house.ask(f"deployments/{deployment['id']}/schedules/{schedule['id']}", {"active": True}, "PATCH")
    body = {"deployments": {"id": {"any_": [deployment["id"]]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    done = house.until(lambda: house.ask("flow_runs/filter", body), 120, "a scheduled run")
    assert done[0]["auto_scheduled"]
    house.ask(f"deployments/{deployment['id']}/schedules/{schedule['id']}", {"active": False}, "PATCH")


def test_project_deploys_every_flow_with_schedule_limit_and_zombie_automation(house, toy):
    deployed = house.cli("deploy")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    found = {item["name"]: item for item in house.ask("deployments/filter", {})}
    from cli.flows import FLOWS

    flows = {flow["id"]: flow["name"] for flow in house.ask("flows/filter", {})}
    assert {flows[item["flow_id"]] for item in found.values()} >= set(FLOWS)
    weekly = found["demo-weekly"]
    assert weekly["schedules"][0]["schedule"] | {"day_or": True} == {"cron": "0 3 * * 1", "timezone": "Europe/Berlin", "day_or": True}
    assert weekly["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert all(item["description"] and item["tags"] for item in found.values())
    automations = [item for item in house.ask("automations/filter", {}) if "silent" in item["name"]]
    assert len(automations) == 1, "deploying twice makes one"
    assert automations[0]["trigger"]["within"] == 540 and automations[0]["actions"][0]["type"] == "change-flow-run-state"


ZOMBIE = """
import sys, time
from cli import deploy
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.states import Running

@flow
def lost():
    pass

deploy.end_zombies(silent_after_s=10, name="test: crash soon")  # Prefect allows no less
with get_client(sync_client=True) as client:
    run = client.create_flow_run(lost, name="its worker is gone")
    client.set_flow_run_state(run.id, Running(), force=True)
time.sleep(3)  # the server reloads its automations
emit_event("prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"})
print("run", run.id, flush=True)
time.sleep(3)  # the event is sent from a thread
"""


def test_run_whose_heartbeat_stops_is_called_crashed(house, tmp_path):
    program = tmp_path / "zombie.py"
    program.write_text(ZOMBIE)
    output = house.program(str(program)).communicate(timeout=120)[0]
    run_id = next((line.split()[1] for line in output.splitlines() if line.startswith("run ")), None)
    assert run_id, output
    assert ended(house, run_id, 60)["type"] == "CRASHED"
    assert "heartbeat" in state(house, run_id)["message"]


def test_forced_stage_is_done_again_in_a_run_from_the_ui_too(house, toy):
    for force in ([], ["count"]):
        run_id = start(house, toy["form"], {"items": 13, "force": force})
        assert ended(house, run_id)["type"] == "COMPLETED", house.log("worker")
    keys = {step["output"].rsplit("/", 1)[1] for step in runs.load(house.root, "last").steps}
    assert all(len(list((house.root / "stages" / "count").glob(f"{key}.unrecorded-*"))) == 1 for key in keys)
