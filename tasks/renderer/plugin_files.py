"""What a plug-in's file says about itself."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from core import keys
from core.errors import InvalidValueError


def existing(plugin: str, where: str, allowed: str) -> Path:
    """Return a plug-in's absolute path.

    Raises:
        InvalidValueError: there is nothing.
    """
    path = Path(plugin)
    if not plugin or not path.exists():
        raise InvalidValueError("no such plug-in", where=where, allowed=allowed, received=plugin)
    return path.resolve()


def file_identity(path: Path) -> dict[str, Any]:
    """Return name and SHA-256 of a plug-in's file, or of all files of its bundle. Not where it lies, which is another place elsewhere."""
    return {"file": path.name, "sha256": keys.FileDigests(path / "no memory").tree(path)}


def host_version(package: str) -> str:
    """Return ``package version`` of the installed host."""
    return f"{package} {metadata.version(package)}"
