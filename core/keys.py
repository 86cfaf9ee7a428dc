"""Content keys: request + digests of the outside files + the stage's code + the environment's lock.

Outputs of other stages enter by their own key, which is part of the path that the request names, so a chain of stages is
keyed end to end before anything has run. Comments, docstrings and formatting are no code: changing them changes no key.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from core import atomic
from core.contract import KEY_ROLE, Stage, to_dict
from core.errors import InvalidValueError

ROOT = Path(__file__).resolve().parent.parent
KEY_DIGITS = 20
HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?$")
"""``owner/model`` on a model hub, with ``@revision`` to pin it."""
STAGE_PATH = re.compile(rf"^stages/(?P<stage>[a-z0-9_]+)/(?P<key>[0-9a-f]{{{KEY_DIGITS}}})(?:/|$)")

# Modules that carry work to a stage without having a say in what it computes.
_INFRASTRUCTURE = {"core.contract", "core.context", "core.errors", "core.events", "core.atomic", "core.host", "core.keys"}


def is_hub_name(text: str, folder: Path = Path()) -> bool:
    """Whether a text names a model on a hub: it looks like one, and no file or folder below ``folder`` has that name."""
    return HUB_NAME.match(text) is not None and not (folder / text).exists()


def dependencies(request: Any) -> list[tuple[str, str]]:
    """Return the (stage, key) pairs whose outputs a request names, in order of appearance, each once."""
    found: dict[tuple[str, str], None] = {}

    def visit(value: Any) -> None:
        if isinstance(value, str) and (match := STAGE_PATH.match(value)):
            found[match["stage"], match["key"]] = None
        elif isinstance(value, dict):
            for item in value.values():
                visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)

    visit(to_dict(request))
    return list(found)


class FileDigests:
    """SHA-256 of files and folders, remembered by (path, size, mtime, ctime, inode) so that a large dataset is read once."""

    def __init__(self, memory: Path) -> None:
        self._path = memory
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        if memory.is_file():
            try:
                self._known = json.loads(memory.read_text())
            except (json.JSONDecodeError, UnicodeDecodeError):
                self._known = {}  # only a memory: it is rebuilt from the files

    def file(self, path: Path) -> str:
        """Return the SHA-256 of a file's bytes."""
        status = path.stat()
        # The change time too: a modification time can be set back, by a copy or by a clock.
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known = self._known.get(str(path))
        if known and known[:-1] == stamp:
            return str(known[-1])
        digest = file_digest(path)
        self._known[str(path)] = [*stamp, digest]
        self._changed = True
        return digest

    def tree(self, path: Path) -> str:
        """Return a digest of a file, or of every file below a folder with its relative name.

        Raises:
            InvalidValueError: the path does not exist.
        """
        if not path.exists():
            raise InvalidValueError("no such file or folder", where=str(path), allowed="an existing path", received="nothing there")
        if path.is_file():
            return self.file(path)
        summary = hashlib.sha256()
        for item in sorted(path.rglob("*")):
            if item.is_file():
                summary.update(f"{item.relative_to(path).as_posix()}\0{self.file(item)}\n".encode())
        return summary.hexdigest()

    def save(self) -> None:
        """Write the memory back, if anything new was learnt."""
        if self._changed:
            atomic.write_json(self._path, self._known)
            self._changed = False


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def files_digest(paths: Iterable[Path]) -> str:
    """Return one SHA-256 over the digests of several files, in the order given."""
    return hashlib.sha256(b"".join(bytes.fromhex(file_digest(path)) for path in paths)).hexdigest()


def request_identity(request: Any, digests: FileDigests) -> dict[str, Any]:
    """Return what of a request decides the output: runtime settings left out, outside paths replaced by their digest."""
    identity: dict[str, Any] = {}
    for item in dataclasses.fields(request):
        role, value = item.metadata.get(KEY_ROLE), getattr(request, item.name)
        if role == "ignore":
            continue
        if role == "digest" and value and not STAGE_PATH.match(str(value)):
            # A model of the hub is known by its name and commit (owner/model@commit); what it holds lies in a cache of each machine.
            identity[item.name] = f"hub:{value}" if is_hub_name(str(value)) else "sha256:" + digests.tree(Path(value))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            identity[item.name] = request_identity(value, digests)
        elif isinstance(value, (list, tuple)) and any(dataclasses.is_dataclass(part) for part in value):
            identity[item.name] = [request_identity(part, digests) for part in value]
        else:
            identity[item.name] = to_dict(value)
    return identity


def key_of(identity: dict[str, Any]) -> str:
    """Return the 20 hex digits that name one piece of work and its output."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]


def identity(stage: Stage, request: Any, digests: FileDigests, root: Path = ROOT) -> dict[str, Any]:
    """Return everything a content key is made of; stored in the done record, so that ``plan`` can say what changed."""
    return {
        "stage": stage.name,
        "version": stage.version,
        "code": code_digest(stage.name, root),
        "environment": environment_digest(stage.environment, root),
        "request": request_identity(request, digests),
    }


def environment_digest(name: str, root: Path = ROOT) -> str:
    """Return the SHA-256 of an environment's lock file."""
    return file_digest(root / "envs" / name / "requirements.txt")


def stage_folder(stage: str, root: Path = ROOT) -> Path:
    """Return a stage's folder: below ``tasks/``, or in one of the folders that ``SYNTHLOOM_STAGES`` adds."""
    extra = [Path(part) for part in os.environ.get("SYNTHLOOM_STAGES", "").split(os.pathsep) if part]
    return next((folder / stage for folder in extra if (folder / stage).is_dir()), root / "tasks" / stage)


@lru_cache(maxsize=256)
def code_digest(stage: str, root: Path = ROOT) -> str:
    """Return a digest of the stage's folder and of every project module it imports, directly or not."""
    own = stage_folder(stage, root)
    pending = sorted(own.rglob("*"))
    seen: dict[str, str] = {}
    while pending:
        path = pending.pop()
        name = path.relative_to(root if path.is_relative_to(root) else own.parent).as_posix()
        if name in seen or not path.is_file() or "__pycache__" in path.parts:
            continue
        if path.suffix != ".py":
            seen[name] = file_digest(path)
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        pending += [target for module in _imported_modules(tree) for target in _project_files(module, root)]
        seen[name] = hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest()
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def _imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _project_files(module: str, root: Path) -> list[Path]:
    """Return the files of a project module: its file, or everything in its package (templates and tables count too)."""
    if module.split(".")[0] not in ("core", "tasks") or module in _INFRASTRUCTURE:
        return []
    base = root.joinpath(*module.split("."))
    if base.with_suffix(".py").is_file():
        return [base.with_suffix(".py")]
    if base.is_dir() and len(module.split(".")) > 1:
        return [Path(folder) / name for folder, _, names in os.walk(base) for name in names]
    return []


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            node.body = [part for part in node.body if not _is_string_statement(part)] or [ast.Pass()]
    return tree


def _is_string_statement(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
