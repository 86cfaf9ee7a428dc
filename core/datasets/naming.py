"""The names of published datasets and their versions. Standard library only: the programs that send and fetch versions use it, too."""

from __future__ import annotations

import re
from typing import Any

from core.errors import InvalidValueError

CURRENT = "current"
PUBLISHED = "published"
SCHEMA = 1
"""Of ``version.json``."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}", re.IGNORECASE)
_VERSION = re.compile(r"[0-9a-f]{12}")


def is_name(text: str) -> bool:
    """Whether a text can be a dataset's name, and so a folder's."""
    return _NAME.fullmatch(text) is not None and text.lower() != CURRENT


def is_version(text: str) -> bool:
    """Whether a text is a version's name; other folders beside the versions are none."""
    return _VERSION.fullmatch(text) is not None


def check_name(name: str, where: str) -> None:
    """Refuse a name that could leave the folder or be taken for another."""
    if not is_name(name):
        raise InvalidValueError("cannot be a folder's name", where=where, allowed="letters, digits, - _ .", received=name[:200])


def check_version(version: Any, where: str) -> dict[str, Any]:
    """Return what ``version.json`` holds, if schema, name and version are what this program writes and can become folders.

    Raises:
        InvalidValueError: they are not.
    """
    if not isinstance(version, dict) or version.get("schema") != SCHEMA:
        received = version.get("schema") if isinstance(version, dict) else type(version).__name__
        hint = "it was made by another synthloom: take that one, or publish anew"
        raise InvalidValueError("another schema", where=where, allowed=SCHEMA, received=received, hint=hint)
    check_name(str(version.get("name")), f"{where}: name")
    if not is_version(str(version.get("version"))):
        raise InvalidValueError("no version", where=where, allowed="12 hex digits", received=str(version.get("version"))[:200])
    return version
