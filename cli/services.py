"""Long-lived processes of one data root (server, page server, worker, cluster): started in the background, found again, stopped.

Each has a record ``prefect/<name>.json`` and a log ``prefect/<name>.log`` below the data root.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli import settings
from core import atomic, leases
from core.errors import SynthloomError
from core.locks import try_lock

LOOPBACK = "127.0.0.1"


class ServiceError(SynthloomError):
    """A service could not be started or reached."""


def record_file(name: str) -> Path:
    """Return the file that says which process a service is."""
    return settings.prefect_home() / f"{name}.json"


def log_file(name: str) -> Path:
    """Return the file that a service's output goes to."""
    return settings.prefect_home() / f"{name}.log"


def launch(name: str, command: Sequence[str], environment: Mapping[str, str], **facts: Any) -> int:
    """Start a service in a session of its own and return its process number; ``facts`` are kept in its record."""
    settings.prefect_home().mkdir(parents=True, exist_ok=True)
    with log_file(name).open("ab") as log:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=dict(environment)
        )
    atomic.write_json(record_file(name), {"pid": process.pid, "command": list(command), **facts})
    return process.pid


def running(name: str) -> dict[str, Any] | None:
    """Return a service's record if its process is alive, else None."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record: dict[str, Any] = json.loads(record_file(name).read_text())
        if alive(int(record["pid"])) and _is_it(int(record["pid"]), record.get("command", [])):
            return record
    return None


def stop(name: str, patience_s: float = 10.0) -> bool:
    """Stop a service with everything it started; returns whether it was running."""
    record = running(name)
    record_file(name).unlink(missing_ok=True)
    if record is None:
        return False  # gone, or the number belongs to another program by now
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(record["pid"], number)
        deadline = time.monotonic() + wait_s
        while alive(record["pid"]) and time.monotonic() < deadline:
            time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(record["pid"], signal.SIGKILL)  # what its children left behind
    return True


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie of our own is reaped and counts as gone."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_it(pid: int, command: Sequence[str]) -> bool:
    """Whether a process is still the one that was started, not another one that got its number after a reboot."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return True  # no /proc on this system: trust the record
    return list(command[1:3]) == words[1:3] or any("prefect" in word for word in words)


_reserved: dict[int, int] = {}
"""Locks of the ports that this process has chosen, by port, held until it ends: what is started there listens only seconds later."""


def free_port(wanted: int = 0) -> int:
    """Return the wanted port of the loopback address if nothing listens there and no other command has just chosen it, else any free one.

    Raises:
        ServiceError: there is none.
    """
    for port in (wanted, 0, 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
        if _reserve(found):
            return found
    raise ServiceError("no free port on 127.0.0.1")


def _reserve(port: int) -> bool:
    """Lock a port against the other commands of this host; whether it is this process's now."""
    if port in _reserved:
        return True
    path = leases.default_folder() / f"port-{port}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return True  # another user's file: whoever comes second finds the port taken when it binds
    if not try_lock(descriptor):
        os.close(descriptor)
        return False
    _reserved[port] = descriptor
    return True


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def log_tail(name: str) -> str:
    """Return the end of a service's log, for error messages."""
    log = log_file(name)
    lines = log.read_text(errors="replace").splitlines()[-15:] if log.is_file() else []
    return f"the end of {log}:\n" + "\n".join(lines)


def wait(name: str, ready: Any, limit_s: float) -> None:
    """Return as soon as ``ready()`` is true.

    Raises:
        ServiceError: the service ended, or did not come up in time; with the end of its log.
    """
    deadline = time.monotonic() + limit_s
    while not ready():
        if running(name) is None:
            raise ServiceError(f"{name} ended while starting; ./run.sh down and ./run.sh up try again; {log_tail(name)}")
        if time.monotonic() > deadline:
            raise ServiceError(f"{name} did not come up within {limit_s:g} s; {log_tail(name)}")
        time.sleep(0.2)
