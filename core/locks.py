"""The ways to take a file lock: at once or not at all, and waiting for it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process and those that inherit the descriptor, unless somebody holds it; returns whether it did."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def held(path: Path, mode: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a file's lock, and wait for it as long as it takes; it is free again with the end of this process, too.

    Args:
        path: the file, which is made where it is missing and never removed.
        mode: ``fcntl.LOCK_EX``, or ``fcntl.LOCK_SH`` beside others that share it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, mode)
        yield
