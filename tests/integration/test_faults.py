"""The fault harness: real flows whose children, parents, servers and Dask workers are killed at random moments, then run again.

Ten kills by default; ``SYNTHLOOM_KILLS=100 ./run.sh test tests/integration/test_faults.py`` is the long mode. What must hold after
every story: the same published bytes as an undisturbed run, no shard done twice, no row lost or doubled, no process and no lease left.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from core import leases
from tests.house import ROOT, House, stage_children

KILLS = int(os.environ.get("SYNTHLOOM_KILLS", "10"))
WORK = {"items": 90, "shards": 18, "detail": {"seconds_per_shard": 0.2}}
SERVER = "from cli import server; s = server.start(); server.wait(s); print(s.api_url)"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A house with a server, a scheduler and two Dask workers; kills are allowed in it."""
    made = House(tmp_path_factory.mktemp("faults"))
    try:
        start_server(made)
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def undisturbed(house, tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    running = start(house, root)
    output = running.communicate(timeout=200)[0]
    assert running.returncode == 0, output
    return published(root)


def start_server(house, port="0"):
    environment = {**house.environment, "SYNTHLOOM_PORT": port}
    subprocess.run([sys.executable, "-c", SERVER], cwd=ROOT, env=environment, check=True, capture_output=True, timeout=200)


def start(house, root, **settings):
    root.mkdir(exist_ok=True)
    fast = {"PREFECT_CLIENT_MAX_RETRIES": "8", "PREFECT_CLIENT_RETRY_EXTRA_CODES": ""}
    return house.program("-m", "tests.toy.flow", str(root), json.dumps({**WORK, **settings}), **fast)


def published(root):
    """SHA-256 of every published file by step, and the rows themselves."""
    found = {}
    for path in (root / "stages").glob("*/*/done.json"):
        found[path.parent.name] = (json.loads(path.read_text())["files"], json.loads((path.parent / "items.json").read_text()))
    return found


def kill(house, root, running, target, rng):
    """Kill something now; returns whether there was something to kill."""
    if target == "child":
        children = list(stage_children(root))
        if children:
            os.kill(rng.choice(children), signal.SIGKILL)
        return bool(children)
    if target == "parent":
        running.kill()
        return True
    if target == "worker":
        os.kill(house.record(f"dask-worker-{rng.randrange(2)}")["pid"], signal.SIGKILL)
        return True
    os.killpg(house.record("server")["pid"], signal.SIGKILL)
    return True


def mend(house, target):
    """Bring back what the house needs for the next run."""
    if target == "server":
        start_server(house, house.api.rsplit(":", 1)[1].removesuffix("/api"))
    if target == "worker":
        house.cli("up", "--cluster", "2")


def disturb(house, root, deck, rng, allowed, **settings):
    """Run a flow and kill what is next in the deck, up to ``allowed`` times; returns what was killed and whether the flow ended well."""
    running = start(house, root, **settings)
    killed = []
    for _ in range(rng.randint(1, 3)):
        if len(killed) == allowed:
            break
        before = time.monotonic()
        while not stage_children(root) and running.poll() is None and time.monotonic() - before < 60:
            time.sleep(0.02)
        time.sleep(rng.random() * 1.5)
        target = deck[-1]
        if running.poll() is None and kill(house, root, running, target, rng):
            killed.append(deck.pop())
            mend(house, target)
        if target == "parent":
            break
    try:
        output = running.communicate(timeout=240)[0]
    except subprocess.TimeoutExpired:
        running.kill()
        raise
    return killed, running.returncode == 0, output


def check(house, root, expected):
    """Everything that must hold once a flow has come to its end, whatever happened on the way."""
    house.until(lambda: not stage_children(root), 10, "the end of all children")
    assert published(root) == expected, "the same bytes, no row lost or doubled"
    done = Counter((line.split()[2], line.split()[0]) for line in (root / "work.log").read_text().splitlines())
    assert max(done.values()) == 1, f"done twice: {[shard for shard, count in done.items() if count > 1]}"
    left = [path.name for path in (root / "stages").rglob("*") if ".tmp" in path.name or path.name.endswith(".partial")]
    assert not left, left
    assert leases.taken(house.root.parent / "leases") == []


def tell_story(house, folder, expected, targets, kills, seed, **settings):
    """Kill ``kills`` times over as many runs and data roots as that takes; every root is checked at its end."""
    rng = random.Random(seed)
    deck = [target for _ in range(kills) for target in rng.sample(targets, len(targets))]  # each target gets its turn
    counted, roots, runs = Counter(), 0, 0
    root = folder / "0"
    while sum(counted.values()) < kills:
        killed, well, _ = disturb(house, root, deck, rng, kills - sum(counted.values()), **settings)
        counted.update(killed)
        runs += 1
        assert runs < 6 * kills + 6, f"kills do not happen: {counted}"
        if well:
            check(house, root, expected)
            roots += 1
            root = folder / str(roots)
    if root.exists():
        running = start(house, root, **settings)
        output = running.communicate(timeout=240)[0]
        assert running.returncode == 0, output
        check(house, root, expected)
    print(f"{dict(counted)} in {runs} runs of {roots + 1} data roots")
    return counted


@pytest.mark.timeout(7200)
def test_kills_of_child_parent_and_server_lose_nothing(house, undisturbed, tmp_path):
    counted = tell_story(house, tmp_path, undisturbed, ["child", "child", "parent", "server"], round(KILLS * 0.8), seed=1)
    assert sum(counted.values()) == round(KILLS * 0.8)


@pytest.mark.timeout(7200)
def test_kills_of_dask_workers_and_their_children_lose_nothing(house, undisturbed, tmp_path):
    up = house.cli("up", "--cluster", "2")
    assert up.returncode == 0, up.stderr
    address = house.record("dask-scheduler")["address"]
    counted = tell_story(house, tmp_path, undisturbed, ["worker", "child"], KILLS - round(KILLS * 0.8), seed=2, cluster=address)
    assert sum(counted.values()) == KILLS - round(KILLS * 0.8)


def test_two_runs_started_together_do_the_work_once(house, undisturbed, tmp_path):
    root = tmp_path / "shared"
    runs = [start(house, root) for _ in range(2)]
    outputs = [running.communicate(timeout=240)[0] for running in runs]
    assert [running.returncode for running in runs] == [0, 0], outputs
    check(house, root, undisturbed)
