"""Tells work on other hosts that its run is still wanted: a small file below the data root that the run's process keeps changing.

Dask goes on with a running task when its flow is cancelled or dies. Whoever runs a child for such a task watches this file and ends
the child when the file is gone (cancelled, at once) or has stopped changing (the run's process or host is dead).
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

BEAT_EVERY_S = 2.0
PATIENCE_S = 60.0
"""A file that has not changed for this long belongs to a dead run; far above the seconds that NFS may lag."""


class Heartbeat:
    """Context manager that keeps the file alive while its block runs, and removes it at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write(0)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(BEAT_EVERY_S):
            count += 1
            self._write(count)

    def _write(self, count: int) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        temporary.write_text(f"{count}\n")
        temporary.replace(self.path)


class Watch:
    """Callable that returns whether the run behind a heartbeat file has ended; measures with its own clock, so clocks may differ."""

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        self._path, self._patience_s = path, patience_s
        self._seen = ""
        self._changed = time.monotonic()

    def __call__(self) -> bool:
        """Whether the file is gone, or has not changed for too long."""
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return True
        except OSError:
            text = self._seen  # the file system is away for a moment: patience decides
        now = time.monotonic()
        if text != self._seen:
            self._seen, self._changed = text, now
        return now - self._changed > self._patience_s
