"""The face every stage shows: what it is, what it takes, what it gives. Standard library only.

A stage's ``spec.py`` holds ``STAGE``, a frozen dataclass ``Request`` and a frozen dataclass ``Result``. The same file is
imported by the orchestrator and by the stage's own environment, so nothing heavier than this module may be imported there.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from core.errors import InvalidValueError, nearest

T = TypeVar("T")

KEY_ROLE = "synthloom.key"
"""Metadata entry that says how a request field enters the content key: absent (by value), ``digest`` or ``ignore``."""


@dataclass(frozen=True)
class Stage:
    """What the engine must know of a stage before it starts it."""

    name: str
    """Folder name below ``tasks/``; also the name in the UI and in the store."""
    environment: str
    """Folder name below ``envs/`` whose interpreter runs the stage."""
    version: int
    """Raised by hand when the output changes for a reason the code digest cannot see."""
    memory_mb: int
    """Memory one child needs on its device: GPU memory on a GPU, main memory on a CPU slot."""
    time_limit_s: float
    """Wall-clock limit of one child."""
    silence_limit_s: float = 600.0
    """A child that prints and reports nothing for this long is taken for hung."""
    cpu_threads: int = 1
    """Threads of one child on the CPU. Part of the stage, not of the machine, so that sums are added in the same order everywhere."""
    uses_gpu: bool = False
    """Whether the stage takes a GPU where there is one."""
    deterministic: bool = True
    """Whether the same request gives the same bytes."""
    sharded: bool = False
    """Whether the work is cut into ``request.shards`` parts that are finished, recorded and resumed one by one. Its spec may define
    ``shard_costs(request)``, one relative cost per shard, so that long shards are started first."""
    row_inputs: tuple[str, ...] = ()
    """Request fields (dotted where nested) that name tables of which each row is worked on by itself. Where a request differs from a
    finished one's in nothing but these and ``shards``, clips whose rows are the same are taken over from its output; :mod:`core.reuse`."""


def external_path(**kwargs: Any) -> Any:
    """Declare a field that names a file or folder outside the store: its content, not its name, enters the content key."""
    return field(metadata={KEY_ROLE: "digest"}, **kwargs)


def runtime_setting(**kwargs: Any) -> Any:
    """Declare a field that does not change the output (workers, batch size): it stays out of the content key."""
    return field(metadata={KEY_ROLE: "ignore"}, **kwargs)


def to_dict(value: Any) -> Any:
    """Turn a contract dataclass into JSON-ready dicts, lists and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_dict(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_dict(item) for key, item in value.items()}
    return value


def build(cls: type[T], data: Any, where: str = "request") -> T:
    """Build a contract dataclass from parsed JSON or YAML, checking every name and type.

    Args:
        cls: the frozen dataclass to build.
        data: a mapping of its field names.
        where: dotted prefix for error messages.

    Raises:
        InvalidValueError: an unknown or missing key, or a value of the wrong type; the message names the key.
    """
    if isinstance(data, cls):
        return data
    if not isinstance(data, dict):
        raise InvalidValueError("must be a mapping", where=where, allowed=f"keys of {cls.__name__}", received=data)
    hints = typing.get_type_hints(cls)
    fields = {item.name: item for item in dataclasses.fields(cls) if item.init}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise InvalidValueError("unknown key", where=f"{where}.{key}", received=data[key], hint=nearest(str(key), fields))
    values = {}
    for name, item in fields.items():
        if name in data:
            values[name] = coerce(hints[name], data[name], f"{where}.{name}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise InvalidValueError("missing", where=f"{where}.{name}", allowed=type_name(hints[name]), received=None)
    return cls(**values)


def coerce(hint: Any, value: Any, where: str) -> Any:
    """Check ``value`` against a type hint and convert JSON's lists to tuples, whole floats to ints, mappings to dataclasses."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, where)
    if origin in (Union, types.UnionType):
        return _coerce_union(hint, value, where)
    if origin is Literal:
        if value in get_args(hint) and type(value) in {type(choice) for choice in get_args(hint)}:
            return value
        raise InvalidValueError("not one of the choices", where=where, allowed=list(get_args(hint)), received=value)
    if origin in (list, tuple) or hint in (list, tuple):
        return _coerce_sequence(hint, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise InvalidValueError("must be a mapping", where=where, allowed=type_name(hint), received=value)
        return {str(key): coerce(get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    return _coerce_scalar(hint, value, where)


def _coerce_union(hint: Any, value: Any, where: str) -> Any:
    choices = [choice for choice in get_args(hint) if choice is not type(None)]
    if value is None and len(choices) < len(get_args(hint)):
        return None
    if len(choices) == 1:
        return coerce(choices[0], value, where)
    for choice in choices:
        try:
            return coerce(choice, value, where)
        except InvalidValueError:
            continue
    raise InvalidValueError("wrong type", where=where, allowed=type_name(hint), received=value)


def _coerce_sequence(hint: Any, value: Any, where: str) -> Any:
    if not isinstance(value, (list, tuple)):
        raise InvalidValueError("must be a list", where=where, allowed=type_name(hint), received=value)
    inner = get_args(hint)
    if (get_origin(hint) or hint) is list:
        return [coerce(inner[0] if inner else Any, item, f"{where}[{index}]") for index, item in enumerate(value)]
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(coerce(inner[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if len(inner) != len(value):
        raise InvalidValueError("wrong length", where=where, allowed=f"{len(inner)} values", received=value)
    return tuple(coerce(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(zip(inner, value, strict=True)))


def _coerce_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif hint is int and isinstance(value, (int, float)) and not isinstance(value, bool):
        if float(value).is_integer():
            return int(value)
    elif isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise InvalidValueError("wrong type", where=where, allowed=type_name(hint), received=value)


def type_name(hint: Any) -> str:
    """Write a type hint the way a person would say it: ``int``, ``list[str]``, ``cpu or paper``."""
    if get_origin(hint) is Literal:
        return " or ".join(str(choice) for choice in get_args(hint))
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def check_range(where: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside ``[low, high]``; for use in ``__post_init__``.

    Raises:
        InvalidValueError: with the field, the range and the value.
    """
    if not low <= value <= high:
        raise InvalidValueError("out of range", where=where, allowed=f"{low} … {high}", received=value)


def load_spec(stage: str) -> Any:
    """Import ``tasks.<stage>.spec`` and return the module; it must hold STAGE, Request and Result.

    Raises:
        InvalidValueError: there is no such stage.
    """
    name = stage.removeprefix("tasks.")
    try:
        return importlib.import_module(f"tasks.{name}.spec")
    except ModuleNotFoundError as error:
        if error.name not in (f"tasks.{name}", f"tasks.{name}.spec"):
            raise
        raise InvalidValueError("no such stage", where="stage", received=stage, hint="see the folders below tasks/") from error
