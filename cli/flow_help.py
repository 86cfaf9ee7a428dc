"""``./run.sh FLOW --help [KEY]``: a flow's settings with types, defaults and help, read from what defines them."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli import help as teaching
from cli.flows import FLOWS
from core import config, fields
from core.contract import KEY_ROLE, to_dict, type_name
from core.errors import InvalidValueError, nearest
from core.fields import nested, rows_of, without_none
from core.keys import ROOT

CONFIGS = ROOT / "configs"
SHORT = 34
"""Longest default that is written out, in characters."""
LONG = 160
"""Most that is shown of the comment that a YAML file begins with, in characters."""


def of_flow(flow: str, key: str = "") -> str:
    """Return what there is to know of a flow, or of one of its settings and what lies below.

    Raises:
        InvalidValueError: there is no such setting; with the nearest name.
    """
    cls = importlib.import_module(f"flows.{flow}.config").Config
    defaults: Any = to_dict(config.resolve(cls, flow, []))
    if key:
        return "\n".join(_below(flow, cls, defaults, key.split(".")))
    examples = {f"./run.sh plan {flow}": "what would run", f"./run.sh {flow}": "run it with the defaults"}
    presets = named(CONFIGS / "presets", f"{flow}-")
    examples |= {f"./run.sh {flow} preset={next(iter(presets))}": "with a preset"} if presets else {}
    lines = [f"./run.sh {flow} [key=value …] [--config FILE]", "", FLOWS[flow], "", "examples", *teaching.aligned(examples)]
    lines += ["", "preset=  (A,B lays B upon A)", *teaching.aligned(presets)] if presets else []
    if any(item.name == "dataset" for item in dataclasses.fields(cls)):
        lines += ["", "dataset=", *teaching.aligned(named(CONFIGS / "datasets"))]
    if flow == "regenerate":
        lines += ["", "dataset=", *teaching.aligned(named(CONFIGS / "published"))]
    lines += ["", f"settings (defaults of configs/{flow}.yaml)", *_settings(cls, defaults, "")]
    page = f"docs/{flow}.md" if (ROOT / f"docs/{flow}.md").is_file() else "docs/first_day.md"
    lines += ["", f"./run.sh {flow} --help KEY shows what lies below a setting (nested ones end with …); {page} explains the flow",
              "leaves  outputs in stages/, the run's record in runs/, and a page",
              "next    ./run.sh status, ./run.sh export last --to audiofolder"]  # fmt: skip
    return "\n".join(lines)


def named(folder: Path, prefix: str = "") -> dict[str, str]:
    """Return the YAML files of a folder by name (without ``prefix``), each with the comment it begins with."""
    found = {}
    for path in sorted(folder.glob(f"{prefix}*.yaml")):
        comment = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
        said = " ".join(line.lstrip("# ") for line in comment)
        found[path.stem.removeprefix(prefix)] = said if len(said) < LONG else f"{said[:LONG].rsplit(' ', 1)[0]} …"
    return found


def _settings(cls: type[Any], defaults: Mapping[str, Any], prefix: str) -> list[str]:
    """Return the fields of a dataclass, one by one."""
    hints, docs = typing.get_type_hints(cls), fields.docstrings(cls)
    lines = []
    # A class's own fields before those that it shares with other flows.
    for item in sorted(dataclasses.fields(cls), key=lambda item: item.name not in cls.__annotations__):
        default = defaults[item.name] if item.name in defaults else _default(item)
        inner = nested(hints[item.name])
        head = f"  {prefix}{item.name}{'…' if inner else ''}  {kind(hints[item.name])}"
        if default is None and _must(item):
            head += "  (must be given)"
        elif not inner or isinstance(default, (list, str, int)) or rows_of(hints[item.name]):
            head += f"  = {shown(default)}"
        said = docs.get(item.name) or (first_paragraph(inner) if inner else "")
        said += " (does not change the result)" if item.metadata.get(KEY_ROLE) == "ignore" else ""
        lines += [head, *teaching.aligned({"": said}, indent=4)]
    return lines


def _default(item: dataclasses.Field[Any]) -> Any:
    """Return a field's own default as JSON; None where it must be given."""
    if item.default is not dataclasses.MISSING:
        return to_dict(item.default)
    return None if item.default_factory is dataclasses.MISSING else to_dict(item.default_factory())


def _must(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _below(flow: str, cls: type[Any], defaults: Any, parts: list[str]) -> list[str]:
    """Walk down a dotted key and return what is there."""
    walked, current = list[str](), defaults
    hint: Any = cls
    for part in parts:
        inner = nested(hint)
        is_row = bool(walked) and rows_of(hint)
        if inner is None and not is_row:
            raise InvalidValueError("has nothing below it", where=f"{flow}.{'.'.join(walked)}", received=part, hint=_ask(flow, walked[:-1]))
        if is_row:  # the name of a row of a table, which anybody may add
            hint = typing.get_args(without_none(hint))[-1] if inner is None else inner
        else:
            assert inner is not None
            hints = typing.get_type_hints(inner)
            if part not in hints:
                hint_text = f"{nearest(part, hints)} {_ask(flow, walked)}"
                raise InvalidValueError("no such setting", where=f"{flow}.{'.'.join([*walked, part])}", received=part, hint=hint_text)
            hint = hints[part]
        current = current.get(part) if isinstance(current, Mapping) else None
        walked.append(part)
    return _one(flow, cls, ".".join(walked), hint, current)


def _one(flow: str, cls: type[Any], key: str, hint: Any, current: Any) -> list[str]:
    inner, prefix = nested(hint), f"{key}."
    lines = [f"{key}  {kind(hint)}"]
    said = _said(cls, key.split("."))
    lines += teaching.aligned({"": said}, indent=0) if said else []
    if inner is None:
        return [*lines, f"default: {shown(current, 10_000)}", "", f"./run.sh plan {flow} {key}={shown(current, 10_000) or 'VALUE'}"]
    if rows_of(hint):
        rows = list(current) if isinstance(current, Mapping) else []
        lines += [f"a table of rows{': ' + ', '.join(map(str, rows)) if rows else ''}; a row has"]
        prefix, current = "NAME." if isinstance(current, Mapping) else "", {}
    return [*lines, "", *_settings(inner, current if isinstance(current, Mapping) else {}, prefix)]


def _said(cls: type[Any], parts: list[str]) -> str:
    """Return the docstring of a dotted key."""
    hint: Any = cls
    text = ""
    for part in parts:
        inner = nested(hint)
        if rows_of(hint) or inner is None:
            hint, text = inner, first_paragraph(inner) if inner else ""
            continue
        text, hint = fields.docstrings(inner).get(part, ""), typing.get_type_hints(inner).get(part)
    return text


def _ask(flow: str, walked: list[str]) -> str:
    return f"./run.sh {' '.join([flow, '--help', '.'.join(walked)])}".rstrip()


def kind(hint: Any) -> str:
    """Return a type as a person says it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join("nothing" if part is type(None) else kind(part) for part in typing.get_args(hint))
    if rows_of(hint):
        inner = [part for part in typing.get_args(hint) if part is not Ellipsis][-1]
        return f"{'table' if typing.get_origin(hint) is dict else 'list'} of {kind(inner)}"
    if nested(hint):
        return "settings"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Any": "anything"}.get(
        type_name(hint), type_name(hint)
    )


def shown(value: Any, longest: int = SHORT) -> str:
    """Return a default as it would be typed, cut short where it is long."""
    if isinstance(value, Mapping):
        value = list(value) or {}
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
        value = [item["name"] for item in value]
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False).replace(", ", ",")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def first_paragraph(cls: type[Any]) -> str:
    """Return the first paragraph of a class's docstring on one line."""
    return " ".join((cls.__doc__ or "").split("\n\n")[0].split())
