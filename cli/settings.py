"""Prefect's home and its settings for every synthloom process."""

from __future__ import annotations

import os
from pathlib import Path

from core import keys
from core.errors import InvalidValueError
from core.places import data_root

DEFAULT_PORT = 4200
PAGES_PORT = 4280
WORK_POOL = "synthloom"


def prefect_home() -> Path:
    """Return Prefect's folder: database, logs, profiles; below the data root, so that the user's own Prefect is left alone."""
    return data_root() / "prefect"


def port(name: str, usual: int) -> int:
    """Return the port that an environment variable names; ``usual`` where it is not set.

    Raises:
        InvalidValueError: it names none.
    """
    given = os.environ.get(name) or str(usual)
    if not (given.isdigit() and int(given) < 65536):
        hint = f"unset {name}, or give a free port; a port that is taken is replaced by a free one"
        raise InvalidValueError("no port", where=name, allowed="0 … 65535, 0 for any", received=given, hint=hint)
    return int(given)


def auth_string() -> str:
    """Return the API's ``user:password`` from the environment; empty where the server asks for none."""
    return os.environ.get("PREFECT_API_AUTH_STRING") or os.environ.get("PREFECT_SERVER_API_AUTH_STRING") or ""


def prefect_environment(api_url: str, console: str = "INFO") -> dict[str, str]:
    """Return the Prefect settings every synthloom process runs with: this API or none, no telemetry.

    Args:
        api_url: the server.
        console: level of what goes to the process's own output, which for a service is its log file.
    """
    auth = auth_string()
    return {
        "PREFECT_HOME": str(prefect_home()),
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": console,
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "180",
        "PYTHONPATH": str(keys.ROOT),
        "SYNTHLOOM_HOME": str(keys.ROOT),
        "SYNTHLOOM_DATA": str(data_root()),
        **({"PREFECT_API_AUTH_STRING": auth, "PREFECT_SERVER_API_AUTH_STRING": auth} if auth else {}),
    }
