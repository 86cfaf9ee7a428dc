"""What every flow can be told about the run itself, whatever it does; none of it changes a result."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, TypeVar

from core import fields

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of the run, shared by all flows."""

    force: tuple[str, ...] = ()
    """Stages to do again although they are done."""
    devices: str = ""
    """Devices to use, such as ``cuda:0`` or ``cpu``; empty: all there are."""
    reuse: bool = True
    """Whether stages take over clips of earlier outputs whose rows have not changed; the result is the same, made anew or not."""
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
        _describe_inherited(current)
        for hint in typing.get_type_hints(current).values():
            pending += [part for part in _parts(hint) if dataclasses.is_dataclass(part) and isinstance(part, type)]
    return cls


def _describe_inherited(cls: Any) -> None:
    """Give inherited fields their help text, since pydantic reads the docstrings of a class's own fields only."""
    for base in [base for base in cls.__mro__[1:] if dataclasses.is_dataclass(base)]:
        for name, text in fields.docstrings(base).items():
            item = cls.__dataclass_fields__[name]
            item.metadata = types.MappingProxyType({**item.metadata, "description": text})


def _parts(hint: Any) -> list[Any]:
    inner = typing.get_args(hint)
    return [hint, *(part for item in inner for part in _parts(item))]
