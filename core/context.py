"""What a running stage is handed: where to write, on which device, and how to tell the world about it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core import atomic

SHARDS = "shards"
SHARD_DONE = "shard.json"
DONE = "done.json"
"""The done record of a finished output; see :mod:`core.store`."""
CLIPS_MADE, CLIPS_REUSED = "clips_made", "clips_reused"
"""Metrics that a child counts its clips by; they become part of what the work cost, never of its result."""


def print_human(event: str, values: dict[str, Any]) -> None:
    """Show an event on stderr; what a stage run by hand does instead of speaking the protocol."""
    text = values.get("message") or " ".join(f"{name}={value}" for name, value in values.items())
    print(f"[{event}] {text}", file=sys.stderr, flush=True)


@dataclass
class Context:
    """Handed to ``run(request, context)``. Tests build one with just an output folder and a data root."""

    output: Path
    """Folder to write into. It is published under its final name only after ``run`` returned."""
    data_root: Path
    """What the paths in manifests and requests are relative to."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``mps``; with ``cuda`` the leased card is the only visible one."""
    threads: int = 1
    """CPU threads to use; declared by the stage, so that results do not depend on the machine."""
    final: str = ""
    """Where the output will live, relative to the data root; what manifests must write as path prefix. See :meth:`published`."""
    donors: tuple[str, ...] = ()
    """Finished outputs of the same stage, relative to the data root, that clips may be taken over from. See :mod:`core.reuse`."""
    emit: Callable[[str, dict[str, Any]], None] = field(default=print_human)
    """Receives (event kind, values)."""
    _last_progress: float = field(default=0.0, repr=False)

    def resolve(self, relative: str) -> Path:
        """Return the absolute path of something below the data root.

        Raises:
            ValueError: the path leaves the data root, also by a symbolic link.
        """
        path = (self.data_root / relative).resolve()
        if not path.is_relative_to(self.data_root.resolve()):
            raise ValueError(f"{relative!r} leaves the data root {self.data_root}")
        return path

    def locate(self, path: str) -> Path:
        """Return where a file or folder of a request is: another stage's output (``stages/…``), or a path outside the store as it stands.

        Raises:
            ValueError: another stage's output leaves the data root.
        """
        return self.resolve(path) if path.startswith("stages/") else Path(path)

    def published(self, path: Path) -> str:
        """Return the data-root-relative path that a file below ``output`` will have once the stage is published."""
        return f"{self.final}/{path.relative_to(self.output).as_posix()}"

    def log(self, message: str) -> None:
        """Report one line of text."""
        self.emit("log", {"message": message})

    def progress(self, done: int, total: int, unit: str = "clips") -> None:
        """Report progress; call it as often as you like, at most two a second are sent, and always the last one."""
        now = time.monotonic()
        if done >= total or now - self._last_progress >= 0.5:
            self._last_progress = now
            self.emit("progress", {"done": done, "total": total, "unit": unit})

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Report one number of a curve or table (``loss``, ``accuracy``); ``step`` is the position along the curve."""
        self.emit("metric", {"name": name, "value": float(value), "step": int(step)})

    def sample(self, path: Path, title: str) -> None:
        """Report a sound or picture below ``output`` that is worth looking at while the stage runs."""
        self.emit("sample", {"path": str(path), "title": title})

    def shard_folder(self, shard: int) -> Path:
        """Return the folder of a finished shard (for ``run``, which combines them)."""
        return self.output / SHARDS / f"{shard:04d}"

    def shard_is_done(self, shard: int) -> bool:
        """Whether a shard was finished and recorded, now or in an earlier attempt."""
        return (self.shard_folder(shard) / SHARD_DONE).is_file()

    @contextmanager
    def shard(self, shard: int) -> Iterator[Path]:
        """Yield a temporary folder for one shard; it is recorded as done when the block ends without an error."""
        final = self.shard_folder(shard)
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            atomic.write_durably(temporary / SHARD_DONE, f'{{"shard": {shard}}}\n')
            if final.exists():
                shutil.rmtree(final)  # an unrecorded leftover; a recorded shard is never run again
            # The record appears with the rename. Should a power cut undo the rename, the shard is done again, which is cheaper than
            # flushing the parent folder once a shard.
            temporary.rename(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self.emit("shard_done", {"shard": shard})
