"""Steps as Prefect tasks, against a real server that the command line's own code starts."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = ROOT / "tests" / "stages"

SCRIPT = """
import sys
from pathlib import Path
from prefect import flow
from core import devices, keys
from core.contract import load_spec
from core.engine import Engine
from core.graph import Graph
from core.launcher import supervised
from core.store import Store
from flows import prefect_steps
from flows.running import ui_address

root, fail, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
Request = load_spec("count").Request
graph = Graph(keys.FileDigests(root / "digests.json"))
first = graph.add("count", Request(items=20, shards=4, seconds_per_shard=seconds, fail_shard=fail), "first")
graph.add("count", Request(items=3, shards=1, before=first.output), "second")
graph.add("count", Request(items=7, shards=2), "beside")
prefect_steps.listen(lambda step, event: print(step.label, event["event"], event.get("pid", ""), flush=True))

@flow(name="toy", flow_run_name="toy run", persist_result=False)
def toy():
    prefect_steps.quiet_console()
    print("address", ui_address(), flush=True)
    with supervised():
        prefect_steps.run_graph(graph, Engine(Store(root), devices.discover("cpu")), "cpu")

toy()
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A Prefect server in a home of its own, on a free port."""
    home = tmp_path_factory.mktemp("server")
    os.environ.update(SYNTHLOOM_DATA=str(home), SYNTHLOOM_PORT="0")
    os.environ.pop("PREFECT_API_URL", None)
    from cli import server

    started = server.start()
    try:
        server.wait(started)
        yield started.api_url
    finally:
        os.environ["SYNTHLOOM_DATA"] = str(home)
        assert server.stop()
        assert not server.answers(started.api_url)


def environment(api, root, leases):
    from cli.settings import prefect_environment

    own = {"PYTHONPATH": str(ROOT), "SYNTHLOOM_STAGES": str(STAGES), "SYNTHLOOM_LEASES": str(leases), "SYNTHLOOM_DATA": str(root)}
    return {**os.environ, **prefect_environment(api), **own}


def start(api, data_root, fail=-1, seconds=0.0):
    script = data_root / "toy.py"
    script.write_text(textwrap.dedent(SCRIPT))
    return subprocess.Popen(
        [sys.executable, str(script), str(data_root), str(fail), str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment(api, data_root, data_root / "leases"), cwd=ROOT,
    )  # fmt: skip


def ask(api, path, body):
    request = urllib.request.Request(f"{api}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


def test_graph_runs_as_tasks_with_progress_artifacts_and_second_run_does_nothing(api, data_root):
    finished = start(api, data_root)
    output = finished.communicate(timeout=200)[0]
    assert finished.returncode == 0, output
    run_id = next(line for line in output.splitlines() if line.startswith("address")).rsplit("/", 1)[1]
    tasks = ask(api, "task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    assert {task["name"] for task in tasks} >= {"first", "second", "beside", "first 1/2", "first 2/2", "second 1/1"}
    assert {task["state_name"] for task in tasks} == {"Completed"}
    artifacts = ask(api, "artifacts/filter", {})
    assert any(item["type"] == "progress" and item["data"] == 100.0 for item in artifacts)
    again = start(api, data_root)
    output = again.communicate(timeout=200)[0]
    assert again.returncode == 0 and "started" not in output


def test_failure_stops_what_depends_on_it_and_nothing_else(api, data_root):
    failing = start(api, data_root, fail=1)
    output = failing.communicate(timeout=200)[0]
    assert failing.returncode != 0 and "shard 1 was told to fail" in output
    assert "beside published" in output and "second published" not in output
    logs = ask(api, "logs/filter", {"limit": 200})
    assert any("shard 1 was told to fail" in line["message"] for line in logs), "the child's traceback is in the UI"


def test_ctrl_c_ends_the_children_within_seconds(api, data_root):
    running = start(api, data_root, seconds=120)
    pids = []
    for line in running.stdout:
        if line.startswith("first started"):
            pids.append(int(line.split()[-1]))
            break
    running.send_signal(signal.SIGINT)
    started = time.monotonic()
    running.communicate(timeout=60)
    assert running.returncode != 0 and time.monotonic() - started < 45
    assert not any(Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text() for pid in pids)
    assert not list((data_root / "stages" / "count").glob("*/done.json"))
