"""Device leases: an flock on a file per slot, inherited by the child, so a slot is free exactly when its user is gone."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import StageTimeout

POLL_S = 0.05


def default_folder() -> Path:
    """Return the folder of slot files, shared by all users and flows of this host."""
    folder = Path(os.environ.get("SYNTHLOOM_LEASES", Path(tempfile.gettempdir()) / "synthloom-leases"))
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)
    return folder


@dataclass
class Lease:
    """Held slots; ``descriptors`` must be passed to the child, whose life then keeps them locked."""

    slots: list[str]
    descriptors: list[int] = field(default_factory=list)

    def release(self) -> None:
        """Close this process's descriptors; the slots stay taken while a child still holds its own."""
        while self.descriptors:
            os.close(self.descriptors.pop())

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def acquire(choices: Sequence[Sequence[str]], folder: Path | None = None, timeout_s: float = 7 * 86400.0) -> Lease:
    """Wait for one of several sets of slots and lock all of its members.

    Whoever waits holds a gate, so that a child that needs several slots is not overtaken for ever by those that need one.

    Args:
        choices: sets of slot names, each enough for one child.
        folder: where the slot files live.
        timeout_s: how long to wait.

    Raises:
        StageTimeout: no set became free in time.
    """
    place = folder or default_folder()
    deadline = time.monotonic() + timeout_s
    gate = _open(place / "gate")
    try:
        while not _try_lock(gate):
            _wait(deadline, choices)
        while True:
            for names in choices:
                lease = _try_all(place, names)
                if lease:
                    return lease
            _wait(deadline, choices)
    finally:
        os.close(gate)


def _wait(deadline: float, choices: Sequence[Sequence[str]]) -> None:
    if time.monotonic() > deadline:
        raise StageTimeout(f"no device slot became free in time; waited for one of {[list(names) for names in choices]}")
    time.sleep(POLL_S)


def _try_all(place: Path, names: Sequence[str]) -> Lease | None:
    lease = Lease(list(names))
    for name in names:
        descriptor = _open(place / f"{name}.slot")
        lease.descriptors.append(descriptor)
        if not _try_lock(descriptor):
            lease.release()
            return None
    return lease


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    if os.fstat(descriptor).st_uid == os.getuid():
        os.fchmod(descriptor, 0o666)  # another user of this host must be able to wait for the same slot
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
