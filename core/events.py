"""The line protocol between a stage's child process and whoever started it.

The child writes one JSON object a line, behind a marker, on a descriptor of its own; everything else it prints is plain log.
"""

from __future__ import annotations

import json
import math
from typing import Any

MARKER = "\x1e@synthloom "
"""Starts every event line; the record separator does not occur in sane log text."""

KINDS = ("started", "log", "progress", "metric", "sample", "shard_done", "finished", "error")

MAX_LINE_CHARS = 64_000
"""Longer lines are cut, so that a child that prints 100 MB without a newline cannot fill the parent's memory."""


def encode(kind: str, **values: Any) -> str:
    """Return one event as a line without newline; non-finite floats become null, since JSON has no NaN.

    Raises:
        ValueError: ``kind`` is not one of :data:`KINDS`.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown event {kind!r}; allowed: {KINDS}")
    clean = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()}
    return MARKER + json.dumps({"event": kind, **clean}, ensure_ascii=False)


def decode(line: str) -> dict[str, Any] | None:
    """Return the event on a line, or None for a line of plain log (a damaged event counts as log)."""
    if not line.startswith(MARKER):
        return None
    try:
        event = json.loads(line[len(MARKER) :])
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and event.get("event") in KINDS else None
