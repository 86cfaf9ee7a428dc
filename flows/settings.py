"""What every flow can be told about the run itself, whatever it does; none of it changes a result."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of the run, shared by all flows."""

    force: tuple[str, ...] = ()
    """Stages to do again although they are done."""
    devices: str = ""
    """Devices to use, such as ``cuda:0`` or ``cpu``; empty: all there are."""
    cluster: str = ""
    """Address of a Dask scheduler, ``tcp://host:port``, whose workers share the data root; empty: this machine."""


def as_form(cls: type[T]) -> type[T]:
    """Let Prefect show a configuration as a form: field docstrings become help texts, unknown keys are refused.

    The dataclasses stay the standard library's; pydantic finds this attribute on each of them when Prefect asks it for a schema.
    """
    pending: list[Any] = [cls]
    seen = set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        current.__pydantic_config__ = {"use_attribute_docstrings": True, "extra": "forbid"}
        for hint in typing.get_type_hints(current).values():
            pending += [part for part in _parts(hint) if dataclasses.is_dataclass(part) and isinstance(part, type)]
    return cls


def _parts(hint: Any) -> list[Any]:
    inner = typing.get_args(hint)
    return [hint, *(part for item in inner for part in _parts(item))]
