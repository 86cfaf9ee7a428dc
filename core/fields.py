"""What the dataclasses of settings say of themselves: the docstring below each field, and what lies below a type hint."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from functools import lru_cache
from typing import Any


def docstrings(cls: Any) -> dict[str, str]:
    """Return {field: its docstring} of a dataclass, inherited fields included; those without one are left out."""
    found: dict[str, str] = {}
    bases: list[Any] = [base for base in cls.__mro__ if dataclasses.is_dataclass(base)]
    for base in reversed(bases):
        found |= _own(base)
    return found


@lru_cache(maxsize=256)
def _own(cls: Any) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        ast.unparse(statement.target): inspect.cleandoc(str(after.value.value))
        for statement, after in itertools.pairwise(body.body)
        if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }


def without_none(hint: Any) -> Any:
    """Return ``T`` of ``T | None``, anything else as it is."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kept = [part for part in typing.get_args(hint) if part is not type(None)]
        return kept[0] if len(kept) == 1 else hint
    return hint


def nested(hint: Any) -> Any:
    """Return the dataclass of settings below a hint: itself, of the rows of a table or list, or None where there is none."""
    hint = without_none(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    parts = [nested(part) for part in typing.get_args(hint) if part is not Ellipsis]
    return next((part for part in parts if part is not None), None)


def rows_of(hint: Any) -> bool:
    """Whether a setting is a table: named rows (a mapping), or a list of rows."""
    return typing.get_origin(without_none(hint)) in (dict, tuple, list)
