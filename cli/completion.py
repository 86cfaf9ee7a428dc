"""Shell completion: the scripts for bash and zsh, and the words that fit, which they ask ``./run.sh __complete`` for.

Quick, since a person waits for it: names are read from folders, and of the flows only the dataclasses of their settings are imported.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from cli.flows import FLOWS
from cli.help import COMMANDS, RUN
from core.errors import InvalidValueError
from core.fields import nested, rows_of, without_none

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"

# COMP_WORDS is cut at "=" and ":"; the line itself is handed over, and what bash would cut off again is taken off the front.
BASH = """\
_synthloom() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}" word cut
    word="${line##* }"
    cut="${word%"${word##*[=:]}"}"
    COMPREPLY=()
    while read -r found; do
        [ -n "$found" ] && COMPREPLY+=("${found#"$cut"}")
    done < <("${COMP_WORDS[0]/#\\~/$HOME}" __complete "$line" 2>/dev/null)
    # After a dot or an equals sign the word goes on.
    if [ ${#COMPREPLY[@]} -eq 1 ] && [[ "${COMPREPLY[0]}" == *[.=] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _synthloom ./run.sh run.sh {here}/run.sh
"""
ZSH = """\
autoload -Uz compinit; (( $+functions[compdef] )) || compinit
_synthloom() {
    local -a found going
    found=("${(@f)$("${words[1]/#\\~/$HOME}" __complete "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    going=(${(M)found:#*[.=]})
    found=(${found:#*[.=]})
    (( $#going )) && compadd -S '' -- $going
    (( $#found )) && compadd -- $found
    (( $#going + $#found )) || _files
}
compdef _synthloom run.sh ./run.sh {here}/run.sh
"""
SHELLS = {"bash": BASH, "zsh": ZSH}


def script(shell: str) -> str:
    """Return the script to source.

    Raises:
        InvalidValueError: a shell that is not known.
    """
    if shell not in SHELLS:
        raise InvalidValueError("no such shell", where="completion", allowed=" or ".join(SHELLS), received=shell)
    return SHELLS[shell].replace("{here}", str(ROOT))


def candidates(words: Sequence[str]) -> list[str]:
    """Return the words that the last one could become.

    Args:
        words: the command line up to the cursor, program first; the last one is what is being typed, possibly empty. One text with
            blanks is taken apart.
    """
    line = words[0].split(" ") if len(words) == 1 else list(words)
    line = [word for word in line[:-1] if word] + line[-1:]
    *before, last = line[1:] or [""]
    return sorted({word for word in _fitting(before, last) if word.startswith(last)})


def _fitting(before: Sequence[str], last: str) -> Iterable[str]:
    if not before:
        return [*FLOWS, *COMMANDS, "help"] if "=" not in last and "." not in last else _settings("synthio", last)
    name = before[0]
    if name == "help":
        return [*FLOWS, *COMMANDS]
    if name in COMMANDS:
        return _of_command(name, before[1:], last)
    flow = name if name in FLOWS else "synthio"
    if "--help" in before or "-h" in before:
        return [key.removesuffix("=").removesuffix(".") for key in _settings(flow, last)]
    return _settings(flow, last) if before[-1] != "--config" else []


def _of_command(name: str, before: Sequence[str], last: str) -> Iterable[str]:
    """Return options, values of options and names, as the command's help has them."""
    arguments = COMMANDS[name].arguments
    for option in arguments:
        flag, _, value = option.partition(" ")
        if before and before[-1] == flag and value:
            return value.split("|") if "|" in value else _named(value)
    if last.startswith("-"):
        return [*(option.split(" ")[0] for option in arguments if option.startswith("--")), "--help"]
    plain = [word for word in before if not word.startswith("-")]
    if name == "plan":
        return _settings(plain[0], last) if plain and plain[0] in FLOWS else FLOWS
    if name == "completion":
        return SHELLS
    if name in ("diff", "verify", "push", "export", "publish", "status") and plain and name != "diff":
        return []
    first = next((option for option in arguments if not option.startswith("--")), "")
    return _versions(plain[0]) if name == "diff" and plain else _named(first)


def _named(what: str) -> list[str]:
    """Return what is there of a kind of thing, by the name that the help gives it."""
    if what == RUN:
        found = [path.parent.name for path in (_data_root() / "runs").glob("*/run.json")]
        return [*found, "last"] if found else []
    if what == "NAME":
        return [path.name for path in (_data_root() / "published").glob("[!.]*") if path.is_dir()]
    if what == "BENCHMARK":  # read, not imported: the module brings what it measures
        return [*re.findall(r'^    "([\w.]+)": \(', (ROOT / "benchmarks" / "run.py").read_text(encoding="utf-8"), re.MULTILINE), "all"]
    if what == "ENV":
        return [path.parent.name for path in (ROOT / "envs").glob("*/requirements.txt")]
    return []


def _versions(name: str) -> list[str]:
    return [
        path.name
        for path in (_data_root() / "published" / name).glob("[0-9a-f]*")
        if not path.is_symlink() and (path / "version.json").is_file()
    ]


def _data_root() -> Path:
    """Return the data root without making it."""
    return Path(os.environ.get("SYNTHLOOM_CWD", ".")) / os.environ.get("SYNTHLOOM_DATA", str(ROOT / "data"))


def _settings(flow: str, last: str) -> list[str]:
    """Return the settings that a word could become, one level at a time, or the values after its ``=``."""
    key, equals, _ = last.partition("=")
    if equals:
        return [f"{key}={value}" for value in _values(flow, key)]
    parent = key.rpartition(".")[0]
    found = _keys(flow, parent.split(".") if parent else [])
    return [*([] if parent else ["--config", "--help", *_choices(flow)]), *(f"{parent}.{name}" if parent else name for name in found)]


def _choices(flow: str) -> list[str]:
    return ["preset="] if any((CONFIGS / "presets").glob(f"{flow}-*.yaml")) else []


def _values(flow: str, key: str) -> list[str]:
    if key == "preset":
        return [path.stem.removeprefix(f"{flow}-") for path in (CONFIGS / "presets").glob(f"{flow}-*.yaml")]
    if key == "dataset":
        return [path.stem for path in (CONFIGS / ("published" if flow == "regenerate" else "datasets")).glob("*.yaml")]
    if key in ("dataset.published", "publish_as"):
        return _named("NAME")
    hint = _hint(flow, key.split("."))
    if hint is bool:
        return ["true", "false"]
    parts = [hint, *typing.get_args(hint)]
    return [str(value) for part in parts if typing.get_origin(part) is Literal for value in typing.get_args(part) if value != ""]


def _keys(flow: str, parts: Sequence[str]) -> list[str]:
    """Return the settings below some dotted parts: those with settings below them end with a dot, the others with ``=``."""
    hint = _hint(flow, parts)
    if rows_of(hint):
        return [f"{name}." for name in _rows(flow, parts)] if typing.get_origin(hint) is dict else []
    inner = nested(hint)
    if inner is None:
        return []
    hints = typing.get_type_hints(inner)
    names = [item.name for item in dataclasses.fields(inner)]
    found = [f"{name}." if nested(hints[name]) and typing.get_origin(hints[name]) not in (tuple, list) else f"{name}=" for name in names]
    return [*found, *(["dataset="] if not parts and ("dataset" in names or flow == "regenerate") else [])]


def _hint(flow: str, parts: Sequence[str]) -> Any:
    """Return the type of a dotted setting, or None where there is none."""
    hint: Any = importlib.import_module(f"flows.{flow}.config").Config
    for part in parts:
        hint = without_none(hint)
        if rows_of(hint):
            hint = typing.get_args(hint)[-1]
            continue
        inner = nested(hint)
        hint = typing.get_type_hints(inner).get(part) if inner is not None else None
    return without_none(hint)


def _rows(flow: str, parts: Sequence[str]) -> list[str]:
    """Return the names of a table's rows in the flow's YAML file and its presets."""
    import yaml

    names: set[str] = set()
    for path in (CONFIGS / f"{flow}.yaml", *(CONFIGS / "presets").glob(f"{flow}-*.yaml")):
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        names |= set(value) if isinstance(value, dict) else set()
    return [str(name) for name in names]
