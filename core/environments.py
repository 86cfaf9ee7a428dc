"""The environments below ``envs/``: built by uv from hash-pinned locks, marked complete last, rebuilt when the lock changes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core import atomic
from core.errors import InvalidValueError, SynthloomError, nearest
from core.keys import ROOT

MARKER = "synthloom-env.json"
"""Written into a finished ``.venv``; an environment without it, or with another lock's digest, is built anew."""


OPTIONAL = "optional.txt"
"""Stands in the folder of an environment that no flow needs, or one alone, and says what it is for; it is built when it is first needed."""


class EnvironmentBuildError(SynthloomError):
    """uv could not build an environment; the message carries the end of uv's own output."""


def names(root: Path = ROOT) -> list[str]:
    """Return the environments the project defines, sorted."""
    return sorted(path.parent.name for path in (root / "envs").glob("*/requirements.txt"))


def needed(root: Path = ROOT) -> list[str]:
    """Return the environments that everybody needs: all but the optional ones, which a run builds when it first needs them."""
    return [name for name in names(root) if not (root / "envs" / name / OPTIONAL).is_file()]


def python(name: str, root: Path = ROOT) -> Path:
    """Return the interpreter of an environment, built or not.

    Raises:
        InvalidValueError: no environment of that name is defined.
    """
    if name not in names(root):
        raise InvalidValueError(
            "no such environment", where="environment", received=name, hint=f"{nearest(name, names(root))}; ./run.sh doctor lists them"
        )
    return root / "envs" / name / ".venv" / "bin" / "python"


def lock_digest(name: str, root: Path = ROOT) -> str:
    """Return what identifies a built environment: its lock, its Python, and where it lies (venvs hold absolute paths)."""
    folder = root / "envs" / name
    parts = [(folder / "requirements.txt").read_bytes(), (folder / ".python-version").read_bytes(), str(folder.resolve()).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_ready(name: str, root: Path = ROOT) -> bool:
    """Whether the environment was built completely from the present lock."""
    marker = root / "envs" / name / ".venv" / MARKER
    try:
        return bool(json.loads(marker.read_text())["lock"] == lock_digest(name, root))
    except (OSError, json.JSONDecodeError, KeyError):
        return False


def find_uv() -> str:
    """Return the path of uv: on PATH, or installed beside this interpreter.

    Raises:
        EnvironmentBuildError: there is no uv.
    """
    beside = Path(sys.executable).with_name("uv")
    found = os.environ.get("SYNTHLOOM_UV") or shutil.which("uv") or (str(beside) if beside.exists() else None)
    if not found:
        raise EnvironmentBuildError("uv is not installed; run ./run.sh setup, which installs it into .uv/")
    return found


def build(name: str, report: Callable[[str], None], root: Path = ROOT) -> bool:
    """Build one environment unless it is ready; returns whether anything was done. Two builders wait for each other.

    Raises:
        EnvironmentBuildError: uv failed.
    """
    if is_ready(name, root):
        return False
    folder = root / "envs" / name
    with _exclusive(folder / ".lock"):
        if is_ready(name, root):
            return False
        started = time.monotonic()
        report(f"{name}: building")
        version = (folder / ".python-version").read_text().strip()
        venv = folder / ".venv"
        if venv.is_symlink() and (venv.resolve().parent / "requirements.txt").is_file():
            venv.unlink()  # another checkout's, in which processes may be running: not ours to clear
        _uv(name, "venv", "--quiet", "--clear", "--python", version, str(venv))
        # sync takes the lock as it stands: what is excluded on purpose (excludes.txt) is not pulled in again.
        interpreter = str(venv / "bin" / "python")
        _uv(name, "pip", "sync", "--quiet", "--python", interpreter, "--require-hashes", str(folder / "requirements.txt"))
        atomic.write_json(venv / MARKER, {"lock": lock_digest(name, root), "built_in_s": round(time.monotonic() - started, 1)})
        report(f"{name}: ready after {time.monotonic() - started:.0f} s")
    return True


def _uv(name: str, *arguments: str) -> None:
    finished = subprocess.run([find_uv(), *arguments], capture_output=True, text=True, check=False)
    if finished.returncode:
        tail = "\n".join((finished.stdout + finished.stderr).splitlines()[-20:])
        raise EnvironmentBuildError(f"environment {name}: uv {arguments[0]} failed with exit code {finished.returncode}:\n{tail}")


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":  # used by run.sh before any environment exists, so standard library only up to here
    try:
        for wanted in sys.argv[1:]:
            build(wanted, lambda text: print(text, file=sys.stderr, flush=True))
    except SynthloomError as failure:
        sys.exit(str(failure))
