"""A server that asks for an auth string, end to end; the string is a canary that must be found nowhere afterwards."""

import json
import urllib.error
import urllib.request

import pytest

from tests.house import House

CANARY = "canary-7d1f0c55aa"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("auth"), PREFECT_SERVER_API_AUTH_STRING=f"admin:{CANARY}")
    up = made.cli("up")
    try:
        assert up.returncode == 0, up.stdout + up.stderr + made.log("server") + made.log("worker")
        yield made
    finally:
        made.close()


def test_who_has_no_auth_string_is_refused(house):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{house.api}/flows/count", b"{}", timeout=10)
    stranger = {**house.environment}
    del stranger["PREFECT_SERVER_API_AUTH_STRING"]
    house.environment, kept = stranger, house.environment
    try:
        refused = house.cli("up")
        assert refused.returncode == 2 and "PREFECT_API_AUTH_STRING" in refused.stderr and "Traceback" not in refused.stderr
    finally:
        house.environment = kept


def test_a_run_works_with_it_and_writes_it_nowhere(house):
    given = {"PREFECT_API_AUTH_STRING": f"admin:{CANARY}"}
    running = house.program("-m", "tests.toy.flow", str(house.root), json.dumps({"items": 6, "shards": 2, "devices": "cpu"}), **given)
    output = running.communicate(timeout=200)[0]
    assert running.returncode == 0, output
    assert CANARY not in output
    places = [path for path in house.root.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert not places, "logs, records, manifests, the database"
