"""The pool's end of one child process: starts it, orders from it, and ends it."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from core.contract import to_dict
from core.errors import InvalidValueError
from core.launcher import clean_environment
from tasks.renderer import child
from tasks.renderer.interface import Audio, Note, RenderSettings

TAIL_CHARS = 2000
"""Of what a child printed, in the reason of a failure."""
CHATTER_BYTES = 1_000_000
"""What children print is cut when it is longer than this."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - files without names, see _shared_file
"""Where Linux keeps files in memory; elsewhere the shared file lies among the temporary ones."""


class ChildDied(Exception):
    """The child ended without an answer."""


class ChildHung(Exception):
    """The child did not answer in time, and was killed."""


class Worker:
    """One child process at a time, in a session, a home and with an output of its own.

    Args:
        backend: as for ``open_back_end``.
        plugin: likewise.
        settings: likewise.
        start_timeout_s: a child that has not loaded by then is killed.
    """

    def __init__(self, backend: str, plugin: str, settings: RenderSettings, start_timeout_s: float) -> None:
        self._opening = {"backend": backend, "plugin": plugin, "settings": to_dict(settings)}
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None
        self._shared: Audio | None = None
        self._samples = settings.samples
        self._notes: dict[Note, str] = {}
        self._closing = False
        self.rendered = 0
        """Orders that the present child has answered."""
        self.memory_mb = 0.0
        """What the child held when it last answered."""

    def started(self) -> dict[str, Any]:
        """Start a child and have it load; return its description: ``parameters`` and ``identity``.

        Raises:
            InvalidValueError: the back end cannot be opened; also when loading ends or freezes the child.
        """
        self.end()
        self._home = Path(tempfile.mkdtemp(prefix="synthloom-plugin-"))
        (self._home / ".local" / "share").mkdir(parents=True)  # amsynth wants to make a folder in there
        with (self._home / "stderr.txt").open("ab") as errors, _shared_file(4 * self._samples) as shared:
            self._shared = np.frombuffer(mmap.mmap(shared.fileno(), 0), np.float32)
            self._process = subprocess.Popen(
                [sys.executable, "-m", child.__name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                env=_environment(self._home), start_new_session=True, pass_fds=(shared.fileno(),),
            )  # fmt: skip
            opening = {**self._opening, "parent": os.getpid(), "shared": shared.fileno()}
        self.rendered, self.memory_mb = 0, 0.0
        if self._closing:
            self.kill()
        reason = ""
        try:
            told = self._answered(opening, self._start_timeout_s)
            reason = told.get("error", "")
        except (ChildDied, ChildHung) as error:
            reason = f"while loading: {error}"
        if reason:
            self.end()
            where = f"renderer.{self._opening['backend']}"
            raise InvalidValueError("cannot be opened", where=where, received=self._opening["plugin"], hint=reason)
        return told

    @property
    def is_running(self) -> bool:
        """Whether there is a child."""
        return self._process is not None

    def render(self, raw: Mapping[int, float], note: Note, timeout_s: float) -> tuple[dict[str, Any], Audio]:
        """Order one preset; return what the child says of it and its samples.

        Raises:
            ChildDied: the preset ended the child, or something else did.
            ChildHung: the preset froze it.
        """
        if note not in self._notes:
            self._notes[note] = json.dumps(to_dict(note))
        told = self._answered({"raw": {str(index): float(value) for index, value in raw.items()}, "note": self._notes[note]}, timeout_s)
        assert self._shared is not None
        audio = self._shared[: told["samples"]].copy()
        self.rendered, self.memory_mb = self.rendered + 1, float(told["memory_mb"])
        self._cut_chatter()
        return told, audio

    def _answered(self, order: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdin is not None
        deadline = time.monotonic() + timeout_s
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            told: dict[str, Any] = json.loads(self._read(int(self._read(8, deadline), 16), deadline))
            return told
        except (BrokenPipeError, ChildDied):
            reason = self._ending()
            self.end()
            raise ChildDied(reason) from None
        except ChildHung:
            reason = f"no answer within {timeout_s:g} s{self._tail()}"
            self.end()
            raise ChildHung(reason) from None

    def _read(self, size: int, deadline: float) -> bytearray:
        """Return so many bytes of what the child sends."""
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready = select.poll()  # not select(), which cannot do with more than 1,024 open files
        ready.register(descriptor, select.POLLIN)
        found = bytearray()
        while len(found) < size:
            if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise ChildHung
            got = os.read(descriptor, size - len(found))
            if not got:
                raise ChildDied
            found += got
        return found

    def _ending(self) -> str:
        """Say how the child ended; it has closed its output, or does not read any more."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        what = "closed its output" if code is None else signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return what + self._tail()

    def _tail(self) -> str:
        """Return the end of what the child printed."""
        assert self._home is not None
        text = (self._home / "stderr.txt").read_text(errors="replace").strip()[-TAIL_CHARS:]
        return f"; it printed: {text}" if text else ""

    def _cut_chatter(self) -> None:
        assert self._home is not None
        errors = self._home / "stderr.txt"
        if errors.stat().st_size > CHATTER_BYTES:
            os.truncate(errors, 0)  # the child appends

    def kill(self) -> None:
        """Kill the child for good, from another thread than the one that waits for its answer and will find it dead."""
        self._closing = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the child and what it may have started, and clear up after it; safe to call again."""
        process, self._process = self._process, None
        home, self._home = self._home, None
        self._shared = None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)


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
