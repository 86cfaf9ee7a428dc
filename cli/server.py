"""The Prefect server on this machine: found, started in the background, waited for, stopped. It listens on 127.0.0.1 only.

With ``PREFECT_SERVER_API_AUTH_STRING`` (user:password) set it asks for that on every request; ``PREFECT_API_AUTH_STRING`` is what the
clients send, and the one is taken for the other where only one is set. Neither is written anywhere.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from cli import services, settings
from cli.services import ServiceError
from core import environments

START_LIMIT_S = 180.0
NAME = "server"


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


def ask(api_url: str, path: str, body: dict[str, Any] | None = None) -> bytes | None:
    """Return the answer of a server to a GET request (POST with a body), or None when there is none; sends the auth string if there is one.

    Raises:
        ServiceError: the server refuses the auth string.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{api_url}/{path}", data)  # noqa: S310 - an http address of our own making
    request.add_header("Content-Type", "application/json")
    auth = settings.auth_string()
    if auth:
        request.add_header("Authorization", f"Basic {base64.b64encode(auth.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=3) as response:  # noqa: S310
            return bytes(response.read()) if response.status == 200 else None
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise ServiceError(
                f"the server at {api_url} refuses the auth string; set PREFECT_API_AUTH_STRING=user:password to what it was started with"
            ) from error
        return None
    except (OSError, ValueError):
        return None


def answers(api_url: str) -> bool:
    """Whether a Prefect server answers at this address.

    Raises:
        ServiceError: it does, but refuses the auth string.
    """
    health = ask(api_url, "health")
    return health is not None and health.strip() == b"true" and ask(api_url, "admin/version") is not None


def find() -> Server | None:
    """Return the server to use: the one ``PREFECT_API_URL`` names, the one started here, or one on the usual port."""
    named = os.environ.get("PREFECT_API_URL")
    if named:
        return Server(named, None) if answers(named) else None
    with contextlib.suppress(OSError, json.JSONDecodeError, KeyError):
        record = json.loads(services.record_file(NAME).read_text())
        if answers(record["api_url"]):
            return Server(record["api_url"], int(record["pid"]))
    usual = f"http://{services.LOOPBACK}:{_wanted_port()}/api"
    return Server(usual, None) if answers(usual) else None


def start() -> Server:
    """Start a server in the background, if none answers, and return at once; :func:`wait` until it is up.

    Raises:
        ServiceError: ``PREFECT_API_URL`` names a server that does not answer.
    """
    found = find()
    if found:
        return found
    if os.environ.get("PREFECT_API_URL"):
        hint = "start that server, or unset PREFECT_API_URL and ./run.sh up starts one"
        raise ServiceError(f"PREFECT_API_URL={os.environ['PREFECT_API_URL']} does not answer; {hint}")
    starting = services.running(NAME)
    if starting:
        return Server(starting["api_url"], int(starting["pid"]))  # another command started it a moment ago
    port = services.free_port(_wanted_port())
    api_url = f"http://{services.LOOPBACK}:{port}/api"
    python = str(environments.python("orchestrator"))
    command = [python, "-m", "prefect", "server", "start", "--host", services.LOOPBACK, "--port", str(port)]
    environment = {
        **os.environ,
        **settings.prefect_environment(api_url),
        "PREFECT_UI_API_URL": api_url,
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    return Server(api_url, services.launch(NAME, command, environment, api_url=api_url))


def wait(server: Server) -> None:
    """Return as soon as the server answers.

    Raises:
        ServiceError: it ended, or did not come up in time; with the end of its log.
    """
    deadline = time.monotonic() + START_LIMIT_S
    while not answers(server.api_url):
        if server.pid and not services.alive(server.pid):
            raise ServiceError(
                f"the Prefect server ended while starting; ./run.sh down and ./run.sh up try again; {services.log_tail(NAME)}"
            )
        if time.monotonic() > deadline:
            raise ServiceError(f"the server at {server.api_url} did not answer within {START_LIMIT_S:g} s; {services.log_tail(NAME)}")
        time.sleep(0.2)


def stop() -> bool:
    """Stop the server that was started here; returns whether there was one."""
    return services.stop(NAME)


def _wanted_port() -> int:
    return settings.port("SYNTHLOOM_PORT", settings.DEFAULT_PORT)
