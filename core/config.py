"""Run configurations: YAML files with dotted ``key=value`` overrides, checked against dataclasses before anything starts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.contract import build, to_dict
from core.errors import InvalidValueError, nearest
from core.keys import ROOT

T = TypeVar("T")
R = TypeVar("R")


def load_yaml(path: Path) -> DictConfig:
    """Read one YAML mapping.

    Raises:
        InvalidValueError: the file is missing, no YAML, or no mapping.
    """
    if not path.is_file():
        hint = "./run.sh plan FLOW --config FILE checks one; configs/ has examples"
        raise InvalidValueError("no such file", where="config", allowed="a YAML file", received=str(path), hint=hint)
    try:
        loaded = OmegaConf.load(path)
    except Exception as error:  # PyYAML and OmegaConf raise several unrelated types
        raise InvalidValueError(f"cannot be read: {error}", where=str(path), allowed="YAML", received=type(error).__name__) from error
    if not isinstance(loaded, DictConfig):
        raise InvalidValueError("must hold a mapping", where=str(path), allowed="key: value lines", received=type(loaded).__name__)
    return loaded


def resolve(cls: type[T], flow: str, overrides: Sequence[str], files: Sequence[Path] = (), configs: Path | None = None) -> T:
    """Return a flow's configuration: its YAML, then the presets, the dataset's YAML, the user's files and the command line, in that order.

    A value may point to another one, ``${generators.synthio.generate}``: it is looked up when all layers lie upon each other.

    Args:
        cls: the flow's configuration dataclass.
        flow: name of ``configs/<flow>.yaml``.
        overrides: dotted ``key=value`` words; ``dataset=NAME`` and ``preset=NAME`` choose a file (``preset=A,B`` lays B upon A),
            everything else sets a value.
        files: YAML files given by ``--config``.
        configs: the configs folder.

    Raises:
        InvalidValueError: an unknown key, a wrong type, a missing file; with the nearest valid name.
    """
    folder = configs or ROOT / "configs"
    words = [_or_help(flow, parse_override, word) for word in overrides]
    chosen = {key: value for key, value in words if key in ("dataset", "preset")}
    merged: Any = load_yaml(folder / f"{flow}.yaml")
    layers = [load_yaml(path) for path in files]
    for layer in layers:
        chosen = {key: str(layer.pop(key)) for key in ("dataset", "preset") if isinstance(layer.get(key), str)} | chosen
    if "dataset" in merged:
        merged.dataset = _or_help(flow, load_choice, folder / "datasets", "dataset", chosen.get("dataset") or str(merged.dataset))
    names = [name.strip() for name in chosen["preset"].split(",")] if "preset" in chosen else []
    layers = [*(_or_help(flow, load_choice, folder / "presets", f"{flow}-", name) for name in names), *layers]
    dotted = [f"{key}={value}" for key, value in words if key not in ("dataset", "preset")]
    try:
        for layer in layers:
            merged = OmegaConf.merge(merged, layer)
        merged = OmegaConf.merge(merged, OmegaConf.from_dotlist(dotted))
        plain: Any = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        hint = f"./run.sh {flow} --help lists the settings"
        text = str(error).splitlines()[0]
        raise InvalidValueError(text, where=flow, allowed="key=value with dotted keys", received=dotted, hint=hint) from error
    try:
        return build(cls, plain, flow)
    except InvalidValueError as error:
        if not error.where.startswith(f"{flow}."):
            raise  # found by a dataclass, which knows no flow
        above = error.where.split("[")[0].split(".")[1:-1]
        raise error.with_hint(" ".join(["./run.sh", flow, "--help", ".".join(above)]).strip()) from None


def _or_help(flow: str, act: Callable[..., R], *arguments: Any) -> R:
    """Do something with a word of the command line; an error tells where a flow's words are listed."""
    try:
        return act(*arguments)
    except InvalidValueError as error:
        raise error.with_hint(f"./run.sh {flow} --help lists what there is") from None


def as_command(flow: str, config: Any, configs: Path | None = None) -> str:
    """Return the shortest ``./run.sh`` command that gives this configuration: what differs from the flow's (and dataset's) defaults."""
    given = to_dict(config)
    name = given.get("dataset", {}).get("name", "")
    known = ((configs or ROOT / "configs") / "datasets" / f"{name}.yaml").is_file()
    base = to_dict(resolve(type(config), flow, [], configs=configs))
    words = [f"dataset={name}"] if known and name != base["dataset"]["name"] else []
    if words:
        base = to_dict(resolve(type(config), flow, words, configs=configs))
    base = _flat(base)
    changed = {key: value for key, value in _flat(given).items() if key not in base or base[key] != value}
    words += [f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}" for key, value in changed.items()]
    return shlex.join(["./run.sh", flow, *words])


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, dict) and item else {f"{prefix}{key}": item}
    return flat


def parse_override(word: str) -> tuple[str, str]:
    """Split ``key=value``.

    Raises:
        InvalidValueError: there is no ``=``, or no key before it.
    """
    key, separator, value = word.partition("=")
    if not separator or not key:
        raise InvalidValueError("not a setting", where="command line", allowed="key=value", received=word)
    return key, value


def load_choice(folder: Path, kind: str, name: str) -> DictConfig:
    """Read ``<folder>/<name>.yaml``; the error for an unknown name suggests the nearest one.

    Args:
        folder: of the files.
        kind: what they are, ``dataset``; a word that ends with a hyphen is what their names begin with, ``synthio-``, of presets.
        name: without that.
    """
    prefix = kind if kind.endswith("-") else ""
    path = folder / f"{prefix}{name}.yaml"
    if not path.is_file():
        known, what = [item.stem.removeprefix(prefix) for item in folder.glob(f"{prefix}*.yaml")], "preset" if prefix else kind
        raise InvalidValueError(f"no such {what}", where=what, received=name, hint=nearest(name, known))
    return load_yaml(path)


def to_yaml(config: Any) -> str:
    """Return a resolved configuration as YAML text, the form it is kept in beside the results."""
    return str(OmegaConf.to_yaml(OmegaConf.create(to_dict(config))))
