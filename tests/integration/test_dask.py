"""Runs on a real Dask scheduler with two workers: work is spread, a killed worker costs only time, a cancelled run leaves nothing."""

import json
import os
import signal
import subprocess
import time

import pytest

from tests.house import House, stage_children

WORK = {"items": 60, "shards": 12, "detail": {"seconds_per_shard": 0.4}}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("cluster"))
    up = made.cli("up", "--cluster", "2")
    try:
        assert up.returncode == 0, up.stdout + up.stderr + made.log("server")
        made.address = made.record("dask-scheduler")["address"]
        yield made
    finally:
        made.close()


def toy(house, root, config, cluster=True):
    root.mkdir(exist_ok=True)
    settings = {**config, **({"cluster": house.address} if cluster else {"devices": "cpu"})}
    return house.program("-m", "tests.toy.flow", str(root), json.dumps(settings))


def finish(process, limit_s=200):
    try:
        output = process.communicate(timeout=limit_s)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return output


def digests(root):
    """The published bytes of every step, by key."""
    records = {path.parent.name: json.loads(path.read_text()) for path in (root / "stages").glob("*/*/done.json")}
    return {key: record["files"] for key, record in records.items()}


def worked(root):
    """(shard, pid, output) of every shard that was done, in order."""
    path = root / "work.log"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def workers(house):
    return {name: house.record(name)["pid"] for name in ("dask-worker-0", "dask-worker-1")}


def test_work_is_spread_and_results_are_the_single_hosts_byte_for_byte(house, tmp_path):
    running = toy(house, tmp_path / "cluster", WORK)
    parents = set()
    while running.poll() is None:
        parents |= set(stage_children(tmp_path / "cluster").values())
        time.sleep(0.1)
    output = finish(running)
    assert running.returncode == 0, output
    assert set(workers(house).values()) <= parents, "both workers had children"
    assert "first published" in output and "last published" in output, "the terminal hears of it although it happened elsewhere"
    single = toy(house, tmp_path / "single", WORK, cluster=False)
    output = finish(single)
    assert single.returncode == 0, output
    assert digests(tmp_path / "cluster") == digests(tmp_path / "single") and len(digests(tmp_path / "single")) == 3


def test_cancelled_run_leaves_nothing_running_on_the_cluster(house, tmp_path):
    root = tmp_path / "data"
    running = toy(house, root, {**WORK, "items": 61, "detail": {"seconds_per_shard": 60.0}})
    house.until(lambda: stage_children(root), 90, "a child")
    running.send_signal(signal.SIGINT)
    finish(running, 60)
    house.until(lambda: not stage_children(root), 15, "the end of the children")
    time.sleep(3)
    assert not stage_children(root), "Dask did not start them again"


def test_unknown_scheduler_is_refused_with_what_to_do(house, tmp_path):
    running = house.program("-m", "tests.toy.flow", str(tmp_path), json.dumps({"cluster": "tcp://127.0.0.1:9"}))
    output = finish(running)
    assert running.returncode != 0 and "no Dask scheduler answers" in output and "up --cluster" in output


def test_killed_worker_costs_nothing_but_time(house, tmp_path):
    root = tmp_path / "data"
    running = toy(house, root, {**WORK, "items": 62})
    house.until(lambda: len(worked(root)) >= 2, 90, "the first shards")
    victims = house.until(lambda: set(workers(house).values()) & set(stage_children(root).values()), 30, "a worker with a child")
    os.kill(victims.pop(), signal.SIGKILL)
    output = finish(running)
    assert running.returncode == 0, output
    done = [(output, shard) for shard, _, output in worked(root)]
    assert len(done) == len(set(done)), "no shard was done twice"
    undisturbed = toy(house, tmp_path / "single", {**WORK, "items": 62}, cluster=False)
    finish(undisturbed)
    assert digests(root) == digests(tmp_path / "single")
