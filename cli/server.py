"""The Prefect server on this machine: found, started in the background, waited for, stopped. It listens on 127.0.0.1 only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from cli import settings
from core import atomic, environments
from core.errors import SynthloomError

START_LIMIT_S = 180.0


class ServerError(SynthloomError):
    """The Prefect server could not be started or reached."""


@dataclass(frozen=True)
class Server:
    """One Prefect server."""

    api_url: str
    pid: int | None
    """Its process, when this data root's synthloom started it; None for a server that somebody else runs."""

    @property
    def ui_url(self) -> str:
        """Address of the UI."""
        return self.api_url.removesuffix("/api")


def _record() -> Path:
    return settings.prefect_home() / "server.json"


def answers(api_url: str) -> bool:
    """Whether a Prefect server answers at this address."""
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=3) as response:  # noqa: S310 - an http address of our own making
            return bool(response.status == 200 and response.read().strip() == b"true")
    except (urllib.error.URLError, OSError, ValueError):
        return False


def find() -> Server | None:
    """Return the server to use: the one ``PREFECT_API_URL`` names, the one started here, or one on the usual port."""
    named = os.environ.get("PREFECT_API_URL")
    if named:
        return Server(named, None) if answers(named) else None
    with contextlib.suppress(OSError, json.JSONDecodeError, KeyError):
        record = json.loads(_record().read_text())
        if answers(record["api_url"]):
            return Server(record["api_url"], int(record["pid"]))
    usual = f"http://127.0.0.1:{_wanted_port()}/api"
    return Server(usual, None) if answers(usual) else None


def start() -> Server:
    """Start a server in the background, if none answers, and return at once; :func:`wait` until it is up.

    Raises:
        ServerError: ``PREFECT_API_URL`` names a server that does not answer.
    """
    found = find()
    if found:
        return found
    if os.environ.get("PREFECT_API_URL"):
        raise ServerError(f"PREFECT_API_URL={os.environ['PREFECT_API_URL']} does not answer; start that server or unset the variable")
    port = _free_port()
    api_url = f"http://127.0.0.1:{port}/api"
    home = settings.prefect_home()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [str(environments.python("orchestrator")), "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **settings.prefect_environment(api_url), "PREFECT_UI_API_URL": api_url},
        )  # fmt: skip
    atomic.write_json(_record(), {"api_url": api_url, "pid": process.pid})
    return Server(api_url, process.pid)


def wait(server: Server) -> None:
    """Return as soon as the server answers.

    Raises:
        ServerError: it ended, or did not come up in time; with the end of its log.
    """
    deadline = time.monotonic() + START_LIMIT_S
    while not answers(server.api_url):
        if server.pid and not _alive(server.pid):
            raise ServerError(f"the Prefect server ended while starting; {_log_tail()}")
        if time.monotonic() > deadline:
            raise ServerError(f"the Prefect server at {server.api_url} did not answer within {START_LIMIT_S:g} s; {_log_tail()}")
        time.sleep(0.2)


def stop() -> bool:
    """Stop the server that was started here; returns whether there was one."""
    try:
        pid = int(json.loads(_record().read_text())["pid"])
    except (OSError, json.JSONDecodeError, KeyError):
        return False
    _record().unlink()
    if not _alive(pid) or not _is_prefect(pid):
        return False  # gone, or the number belongs to another program by now
    for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        deadline = time.monotonic() + patience_s
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
    return True


def _is_prefect(pid: int) -> bool:
    try:
        return b"prefect" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True  # no /proc on this system: trust the record


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wanted_port() -> int:
    return int(os.environ.get("SYNTHLOOM_PORT", settings.DEFAULT_PORT))


def _free_port() -> int:
    """Return the wanted port if nothing listens there, else any free one."""
    for port in (_wanted_port(), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("no free port on 127.0.0.1")


def _log_tail() -> str:
    log = settings.prefect_home() / "server.log"
    lines = log.read_text(errors="replace").splitlines()[-15:] if log.is_file() else []
    return f"the end of {log}:\n" + "\n".join(lines)
