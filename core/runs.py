"""Run records: ``<data root>/runs/<run id>/`` with the resolved configuration, the steps, and how it went."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core import atomic, locks
from core.errors import InvalidValueError, nearest

RECORD = "run.json"
CONFIG = "config.yaml"


@dataclass
class Run:
    """One invocation of a flow, from the terminal, from the UI or by a schedule."""

    run_id: str
    flow: str
    title: str
    command: str
    """What to type to get the same results."""
    started_at: float
    steps: list[dict[str, str]]
    """label, stage and output of every step, in order."""
    report: str
    """Output of the step that made the page."""
    state: str = "running"
    """``running``, ``completed``, ``failed`` or ``cancelled``."""
    finished_at: float | None = None
    ui_url: str = ""
    peak_memory_mb: float = 0.0
    error: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def wall_s(self) -> float | None:
        """Seconds from start to end, once it has ended."""
        return None if self.finished_at is None else round(self.finished_at - self.started_at, 1)


def state_now(run: Run) -> str:
    """Return a run's state; one that says it is running while its process on this host is gone was ``killed``."""
    pid = run.extra.get("pid")
    if run.state == "running" and pid:
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return "killed"
        except PermissionError:
            pass
    return run.state


def folder(root: Path, run_id: str) -> Path:
    """Return a run's folder."""
    return root / "runs" / run_id


def new_id(root: Path, flow: str, name: str) -> str:
    """Make a run's folder and return its id, which sorts by time and says what ran: ``20261120-231502-synthio-esc10``."""
    base = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{flow}-{name}"
    for number in range(1, 1000):
        run_id = base if number == 1 else f"{base}-{number}"
        try:
            folder(root, run_id).mkdir(parents=True)
        except FileExistsError:
            continue  # another run of the same flow began in this second
        return run_id
    raise InvalidValueError("a thousand runs began in one second", where="runs", received=base)


def save(root: Path, run: Run) -> None:
    """Write a run's record atomically; waits while ``gc`` decides what no run needs."""
    with _register(root, fcntl.LOCK_SH):
        atomic.write_json(folder(root, run.run_id) / RECORD, asdict(run))


def none_begins(root: Path) -> AbstractContextManager[None]:
    """Return a context in which no run is recorded: those that begin wait for its end."""
    return _register(root, fcntl.LOCK_EX)


def none_removed(root: Path) -> AbstractContextManager[None]:
    """Return a context in which ``gc`` removes nothing: for what reads outputs without being a run."""
    return _register(root, fcntl.LOCK_SH)


def _register(root: Path, mode: int) -> AbstractContextManager[None]:
    return locks.held(root / "locks" / "runs", mode)


def load(root: Path, run_id: str) -> Run:
    """Return a run by id; ``last`` and unambiguous beginnings work too.

    Raises:
        InvalidValueError: there is no such run; with the nearest id.
    """
    known = ids(root)
    matches = [known[-1]] if run_id in ("last", "latest") and known else [name for name in known if name == run_id]
    matches = matches or [name for name in known if name.startswith(run_id)]
    if len(matches) != 1:
        hint = f"{nearest(run_id, known[-10:])}; ./run.sh status lists them" if known else "nothing ran yet; start with ./run.sh"
        raise InvalidValueError("no such run", where="run", received=run_id, hint=hint)
    return Run(**json.loads((folder(root, matches[0]) / RECORD).read_text()))


def ids(root: Path) -> list[str]:
    """Return all run ids, oldest first."""
    return sorted(path.parent.name for path in (root / "runs").glob(f"*/{RECORD}"))


def with_report(root: Path, report: str) -> Run | None:
    """Return the newest completed run that ended in this report, if any."""
    for run_id in reversed(ids(root)):
        run = load(root, run_id)
        if run.report == report and run.state == "completed":
            return run
    return None
