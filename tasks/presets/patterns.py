"""Patterns of parameter names: a name, ``abc*``, ``*abc`` or ``*abc*``."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InvalidValueError, nearest


def matches(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern."""
    core = pattern.strip("*")
    if pattern.startswith("*") and pattern.endswith("*"):
        return core in name
    if pattern.startswith("*"):
        return name.endswith(core)
    return name.startswith(core) if pattern.endswith("*") else name == pattern


def any_matches(patterns: Sequence[str], name: str) -> bool:
    """Whether a name fits one of some patterns."""
    return any(matches(pattern, name) for pattern in patterns)


def check(pattern: str, names: Sequence[str], where: str) -> None:
    """Refuse a pattern that is none, or that matches nothing: a misspelt one would leave its parameters in use.

    Raises:
        InvalidValueError: with the nearest name.
    """
    core = pattern.removeprefix("*").removesuffix("*")
    if not core or "*" in core:
        raise InvalidValueError("no pattern", where=where, allowed="name, abc*, *abc or *abc*", received=pattern)
    if not any(matches(pattern, name) for name in names):
        raise InvalidValueError("matches no parameter", where=where, received=pattern, hint=nearest(core, names))
