"""Where things lie for this invocation: the data root, the caller's folder, Prefect's home; and Prefect's own settings."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_PORT = 4200


def data_root() -> Path:
    """Return the one folder that results land under: ``SYNTHLOOM_DATA``, else ``./data`` of the checkout."""
    root = Path(os.environ.get("SYNTHLOOM_DATA") or Path(__file__).resolve().parent.parent / "data")
    root = caller_path(str(root))
    root.mkdir(parents=True, exist_ok=True)
    return root


def caller_path(text: str) -> Path:
    """Return an absolute path for what the caller typed, relative to the folder run.sh was called from."""
    return (Path(os.environ.get("SYNTHLOOM_CWD", ".")) / Path(text).expanduser()).resolve()


def prefect_home() -> Path:
    """Return Prefect's folder: database, logs, profiles; below the data root, so that the user's own Prefect is left alone."""
    return data_root() / "prefect"


def prefect_environment(api_url: str) -> dict[str, str]:
    """Return the Prefect settings every synthloom process runs with: this API or none, no telemetry, a quiet console."""
    return {
        "PREFECT_HOME": str(prefect_home()),
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_CLI_PROMPT": "false",
    }
