"""Takes secrets out of text before it reaches a log, an event, an error or a page."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

REPLACEMENT = "[secret removed]"
SHORTEST = 6
"""Shorter values are no secrets worth the name, and removing them would shred ordinary text."""

_NAMES = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|API_KEY|ACCESS_KEY|PRIVATE_KEY|AUTH_STRING|CREDENTIAL)", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


def secrets(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return the values of the environment variables whose names say that they are secret, longest first."""
    given = os.environ if environment is None else environment
    values = {value for name, value in given.items() if _NAMES.search(name) and len(value) >= SHORTEST}
    # An auth string is user:password; the password alone is a secret too.
    values |= {part for value in values for part in value.split(":", 1)[1:] if len(part) >= SHORTEST}
    return sorted(values, key=len, reverse=True)


def redactor(environment: Mapping[str, str] | None = None) -> Callable[[Any], Any]:
    """Return a function that removes the present secrets, and passwords in URLs, from a string or from every string in JSON."""
    known = secrets(environment)
    pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            text = pattern.sub(REPLACEMENT, value) if pattern else value
            return _URL_PASSWORD.sub(REPLACEMENT, text) if "://" in text else text
        if isinstance(value, dict):
            return {clean(name): clean(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return value

    return clean
