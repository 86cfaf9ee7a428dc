"""Prefect's home and its settings for every synthloom process."""

from __future__ import annotations

import os
from pathlib import Path

from core import keys
from core.places import data_root

DEFAULT_PORT = 4200
PAGES_PORT = 4280
WORK_POOL = "synthloom"


def prefect_home() -> Path:
    """Return Prefect's folder: database, logs, profiles; below the data root, so that the user's own Prefect is left alone."""
    return data_root() / "prefect"


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
