"""The pool's end of one child process: starts it, hands it orders, takes its answers, and ends it. Nothing in here waits for the child."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from core.contract import to_dict
from core.errors import InvalidValueError
from core.launcher import clean_environment
from tasks.renderer import child
from tasks.renderer.interface import Audio, Note, RenderSettings
from tasks.renderer.messages import Answer, Orders, take_answer, write_all

TAIL_CHARS = 2000
"""Of what a child printed, in the reason of a failure."""
CHATTER_BYTES = 1_000_000
"""What children print is cut when it is longer than this."""
READ_BYTES = 65_536
PIPE_BYTES = 32_768
"""Orders that wait in a pipe are fewer than this: writing more to a child that is busy would wait for it."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - files without names, see _shared_file
"""Where Linux keeps files in memory; elsewhere the shared file lies among the temporary ones."""


class ChildDied(Exception):
    """The child ended."""


class Worker:
    """One child process at a time, in a session, a home and with an output of its own.

    Args:
        backend: as for ``open_back_end``.
        plugin: likewise.
        settings: likewise.
        depth: orders that it may have at once.
    """

    def __init__(self, backend: str, plugin: str, settings: RenderSettings, depth: int) -> None:
        self._opening = {"backend": backend, "plugin": plugin, "settings": to_dict(settings)}
        self._samples, self._depth = settings.samples, depth
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None
        self._errors = -1
        self._slots: Audio | None = None
        self._free: list[int] = []
        self._received = bytearray()
        self._packing = Orders()
        self._order_bytes = 0
        self._ordered: deque[tuple[Any, int]] = deque()
        self.description: dict[str, Any] | None = None
        """``parameters`` and ``identity``, once the child has loaded."""
        self.since = 0.0
        """Monotonic time at which the child began with what it is at, as far as can be known."""
        self.rendered = 0
        """Orders that the present child has answered."""
        self.memory_mb = 0.0
        """What the child held when it last answered."""

    def start(self) -> None:
        """Start a child, which loads the back end; :meth:`loaded` tells when it has."""
        self.end()
        self._home = Path(tempfile.mkdtemp(prefix="synthloom-plugin-"))
        (self._home / ".local" / "share").mkdir(parents=True)  # amsynth wants to make a folder in there
        with _shared_file(4 * self._samples * self._depth) as shared:
            self._slots = np.frombuffer(mmap.mmap(shared.fileno(), 0), np.float32).reshape(self._depth, self._samples)
            self._errors = os.open(self._home / "stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._process = subprocess.Popen(
                [sys.executable, "-m", child.__name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                env=_environment(self._home), start_new_session=True, pass_fds=(shared.fileno(),), bufsize=0,
            )  # fmt: skip
            opening = {**self._opening, "parent": os.getpid(), "shared": shared.fileno()}
            self._write(json.dumps(opening).encode() + b"\n")
        self._free = list(range(self._depth))
        self.rendered, self.memory_mb, self.since = 0, 0.0, time.monotonic()

    @property
    def is_running(self) -> bool:
        """Whether there is a child."""
        return self._process is not None

    @property
    def is_loading(self) -> bool:
        """Whether there is a child that has not said yet that it can be played."""
        return self.is_running and self.description is None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is due: the child is loading, or has orders."""
        return self.is_loading or bool(self._ordered)

    @property
    def has_room(self) -> bool:
        """Whether the child has loaded and takes another order."""
        room = len(self._ordered) < self._depth and len(self._ordered) * self._order_bytes < PIPE_BYTES
        return self.description is not None and room

    @property
    def orders(self) -> int:
        """Orders without an answer."""
        return len(self._ordered)

    @property
    def descriptor(self) -> int:
        """The pipe that answers come through."""
        assert self._process is not None and self._process.stdout is not None
        return self._process.stdout.fileno()

    def order(self, item: Any, raw: Mapping[int, float], note: Note) -> None:
        """Order one preset; ``item`` comes back with its answer, or with those that were never answered."""
        if not self._ordered:
            self.since = time.monotonic()
        slot = self._free.pop()
        self._ordered.append((item, slot))
        order = self._packing.packed(raw, note, slot)
        self._order_bytes = len(order)
        self._write(order)

    def loaded(self) -> bool:
        """Read what the child says while it loads; return whether it has.

        Raises:
            InvalidValueError: it cannot be opened; also when loading ends the child, which is gone then.
        """
        try:
            self._read()
        except ChildDied as error:
            self.fail(f"while loading: {error}")
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return False
        told = json.loads(line)
        if "error" in told:
            self.fail(told["error"])
        self._received, self.description = rest, told
        return True

    def fail(self, reason: str) -> None:
        """End the child.

        Raises:
            InvalidValueError: always: the back end cannot be opened.
        """
        self.end()
        where = f"renderer.{self._opening['backend']}"
        raise InvalidValueError("cannot be opened", where=where, received=self._opening["plugin"], hint=reason)

    def answers(self) -> list[tuple[Any, Answer, Audio]]:
        """Return the orders' items that have been answered, with what the child says of them and their samples.

        Raises:
            ChildDied: instead of answering the first of its orders.
        """
        self._read()
        assert self._slots is not None
        found = []
        while (answer := take_answer(self._received)) is not None:
            item, slot = self._ordered.popleft()
            found.append((item, answer, self._slots[slot, : answer.samples].copy()))
            self._free.append(slot)
            self.rendered, self.memory_mb = self.rendered + 1, answer.memory_mb
        self.since = time.monotonic()
        if os.fstat(self._errors).st_size > CHATTER_BYTES:
            os.truncate(self._errors, 0)  # the child appends
        return found

    def _write(self, data: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its death is noticed where its answers are awaited
            write_all(self._process.stdin.fileno(), data)

    def _read(self) -> None:
        """Take what the child has said; something is there to be read, be it the end."""
        got = os.read(self.descriptor, READ_BYTES)
        if not got:
            raise ChildDied(self._ending())
        self._received += got

    def _ending(self) -> str:
        """Say how the child ended; it has closed its output, or does not read any more."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        what = "closed its output" if code is None else signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return what + self.tail()

    def tail(self) -> str:
        """Return the end of what the child printed, as the end of a sentence."""
        assert self._home is not None
        text = (self._home / "stderr.txt").read_text(errors="replace").strip()[-TAIL_CHARS:]
        return f"; it printed: {text}" if text else ""

    def end(self) -> list[Any]:
        """Kill the child and what it may have started, and clear up after it; safe to call again.

        Returns:
            the items of the orders that it has not answered, in their order.
        """
        process, self._process = self._process, None
        home, self._home = self._home, None
        unanswered = [item for item, _ in self._ordered]
        self._ordered.clear()
        self._received.clear()
        self._slots = self.description = None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            os.close(self._errors)
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)
        return unanswered


def _shared_file(size: int) -> IO[bytes]:
    """Return a file of so many bytes that has no name, so that it is gone with the processes that share it."""
    file = tempfile.TemporaryFile(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)  # noqa: SIM115 - the caller closes it
    file.truncate(size)
    return file


def _environment(home: Path) -> dict[str, str]:
    """Return a child's environment: one thread, no display, and a home in which plug-ins may do what they like."""
    own = {"HOME": str(home), "XDG_DATA_HOME": str(home / ".local" / "share"), "XDG_CONFIG_HOME": str(home / ".config")}
    kept = {name: os.environ[name] for name in ("PYTHONPYCACHEPREFIX",) if name in os.environ}
    return {**clean_environment(1), **own, "XDG_CACHE_HOME": str(home / ".cache"), **kept}
