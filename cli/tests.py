"""``test``: every test in the environment that its subject runs in, two environments at a time, one closing line for all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from core import environments, keys
from core.contract import load_spec
from core.errors import InvalidValueError

AT_ONCE = 2
ROOMS = {"audio_models": "presets", "presets": "presets", "renderer": "presets"}
"""Environments of tests of code that several stages share, and no stage alone."""
FOLDERS = {"exchange": "exchange", "readers": "readers"}
"""Environments of further folders below ``tests``: of programs that run in one of their own, and of libraries that only tests need."""


APART = ("tests/integration",)
"""Folders whose tests take long together: a pytest of their own, beside the others of their environment."""
SEPARATOR = " · "


@dataclass(frozen=True)
class Outcome:
    """What one group's pytest said."""

    group: str
    exit_code: int
    output: str
    passed: int
    failed: int
    skipped: int
    seconds: float


def environment_of(path: Path) -> str:
    """Return the environment a test file or folder runs in: a stage's own (or a room's) below ``tests/tasks``, else ``test``."""
    parts = path.resolve().relative_to(keys.ROOT).parts
    if len(parts) > 1 and parts[0] == "tests" and parts[1] in FOLDERS:
        return FOLDERS[parts[1]]
    if parts[:2] != ("tests", "tasks") or len(parts) < 3:
        return "test"
    if parts[2] in ROOMS:
        return ROOMS[parts[2]]
    return str(load_spec(parts[2]).STAGE.environment)


def grouped(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Sort test paths by environment (those of :data:`APART` also by folder); ``tests`` and ``tests/tasks`` are opened up first."""
    opened: list[Path] = []
    for path in paths:
        if path.resolve() == keys.ROOT / "tests":
            folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and folder.name not in ("tasks", "stages")]
            opened += [folder for folder in folders if any(folder.rglob("test_*.py"))]
            path = path / "tasks"
        if path.resolve() == keys.ROOT / "tests" / "tasks":
            opened += [folder for folder in sorted(path.iterdir()) if any(folder.glob("test_*.py"))]
        else:
            opened.append(path)
    groups: dict[str, list[str]] = {}
    for path in opened:
        groups.setdefault(_group(path), []).append(str(path))
    return groups


def _group(path: Path) -> str:
    """Return the name of the group that a path's tests run in: the environment, for those of :data:`APART` with the folder."""
    own = next((folder for folder in APART if path.resolve().is_relative_to(keys.ROOT / folder)), "")
    return environment_of(path) + (SEPARATOR + Path(own).name if own else "")


def run_tests(words: Sequence[str]) -> int:
    """Run the tests that ``words`` name (all by default); words that are no path go to pytest as they are.

    Returns:
        0 when every test passed and at least one ran.
    """
    named = {word: Path(os.environ.get("SYNTHLOOM_CWD", ".")) / word.split("::")[0] for word in words if not word.startswith("-")}
    paths = [word for word, path in named.items() if path.exists() or (keys.ROOT / word.split("::")[0]).exists()]
    options = [word for word in words if word not in paths]
    groups: dict[str, list[str]] = {}
    for word in paths:
        file, separator, rest = word.partition("::")
        location = named[word] if named[word].exists() else keys.ROOT / file
        for environment, found in grouped([location]).items():
            groups.setdefault(environment, []).extend(item + separator + rest for item in found)
    if not groups and not any(not word.startswith("-") for word in words):
        groups = grouped([keys.ROOT / "tests"])
    if not groups:
        raise InvalidValueError(
            "no tests there", where="test", allowed="files or folders below tests/", received=list(words), hint="./run.sh test"
        )
    # Integration tests start stages of every environment.
    for environment in [*environments.needed(), *(group.split(SEPARATOR)[0] for group in groups)]:
        environments.build(environment, lambda text: print(text, flush=True))
    started = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda item: _run_group(item[0], item[1], options), groups.items()))
    return _close(outcomes, time.monotonic() - started)


def _run_group(group: str, paths: list[str], options: list[str]) -> Outcome:
    environment = group.split(SEPARATOR)[0]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="synthloom-test-") as scratch:
        report = Path(scratch) / "junit.xml"
        settings = {
            "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "SYNTHLOOM_LEASES": f"{scratch}/leases", "PYTHONPATH": str(keys.ROOT),
            "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg", "WANDB_MODE": "disabled", "SYNTHLOOM_DATA": f"{scratch}/data",
        }  # fmt: skip
        command = [str(environments.python(environment)), "-m", "pytest", f"--junitxml={report}", "--durations=5", "-rsx", *options, *paths]
        finished = subprocess.run(command, cwd=keys.ROOT, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
        passed, failed, skipped = _counts(report)
    text, seconds = finished.stdout + finished.stderr, time.monotonic() - started
    outcome = Outcome(group, finished.returncode, text, passed, failed, skipped, seconds)
    print(f"── {group}: {passed} passed, {failed} failed, {skipped} skipped in {outcome.seconds:.0f} s", flush=True)
    sys.stdout.write(outcome.output if finished.returncode else _short(outcome.output))
    sys.stdout.flush()
    return outcome


def _short(output: str) -> str:
    """Of a green run keep what a reader may want: skips with their reasons, and the slowest tests."""
    kept = [
        line for line in output.splitlines() if line.startswith(("SKIPPED", "XFAIL")) or (" call " in line and line.strip()[0].isdigit())
    ]
    return "".join(f"   {line}\n" for line in kept)


def _counts(report: Path) -> tuple[int, int, int]:
    if not report.is_file():
        return 0, 0, 0
    suites = ElementTree.parse(report).getroot().iter("testsuite")  # noqa: S314 - written by our own pytest a moment ago
    total = failed = skipped = 0
    for suite in suites:
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return total - failed - skipped, failed, skipped


def _close(outcomes: Sequence[Outcome], seconds: float) -> int:
    passed, failed = sum(o.passed for o in outcomes), sum(o.failed for o in outcomes)
    broken = [o.group for o in outcomes if o.exit_code not in (0, 5)]
    print(f"tests took {seconds / 60:.1f} min" + (f"; not green: {', '.join(broken)}" if broken else ""))
    print(f"{passed} passed, {failed} failed, {sum(o.skipped for o in outcomes)} skipped")
    return 0 if passed and not failed and not broken else 1
