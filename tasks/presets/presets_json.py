"""Presets as JSON: ``{id: {"meta": {…}, "parameters": {name: raw value}}}``, the form that synth-proxy reads."""

from __future__ import annotations

import json
from typing import Any

from core.errors import InvalidValueError
from tasks.presets.raw_preset import RawPreset


def read(data: bytes, where: str) -> list[RawPreset]:
    """Return the presets of a file. ``meta`` may hold a ``name`` and ``labels``; values that are no numbers become NaN.

    Args:
        data: the file's bytes.
        where: its name, for the presets' names.

    Raises:
        InvalidValueError: no such JSON.
    """
    try:
        told = json.loads(data)
    except ValueError as error:
        raise InvalidValueError(f"no JSON: {error}", where=where, allowed="presets by id", received=data[:40]) from error
    if not isinstance(told, dict):
        raise InvalidValueError("not presets", where=where, allowed='{id: {"parameters": {name: value}}}', received=type(told).__name__)
    return [_preset(str(key), entry, where) for key, entry in told.items()]


def _preset(key: str, entry: Any, where: str) -> RawPreset:
    values = entry.get("parameters") if isinstance(entry, dict) else None
    if not isinstance(values, dict):
        allowed = '{"parameters": {name: value}}'
        raise InvalidValueError("not a preset", where=f"{where}.{key}", allowed=allowed, received=str(entry)[:60])
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    labels = meta.get("labels", ())
    name = f"{where} {key} {meta.get('name', '')}".rstrip()
    listed = (labels,) if isinstance(labels, str) else tuple(str(label) for label in labels)
    return RawPreset(name, {parameter_name(one): _number(value) for one, value in values.items()}, listed)


def parameter_name(text: str) -> str:
    """Return a parameter's name as specs have it: lower case, underscores for spaces, no trailing dot."""
    return "_".join(text.lower().split()).rstrip(".")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
