"""The process that a plug-in runs in: ``python -m tasks.renderer.child``.

Reads one JSON line from stdin, which opens the back end, on the main thread, where plug-ins want to be loaded and played. Answers it with
a line of JSON; then each order with an answer (``messages.py``). Samples go through memory that the parent shares, float32 [slots, T]:
through a pipe a clip of 5 s would be copied twice, in pieces. Ends with its input or its parent.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import resource
import signal
import sys
import time
from typing import Any

import numpy as np

from core.contract import build, to_dict
from core.errors import SynthloomError
from core.host import PR_SET_PDEATHSIG
from tasks.renderer.interface import Audio, BackEnd, Note, RenderSettings, finished, open_back_end
from tasks.renderer.messages import Answer, packed_answer, read_order, write_all


def main() -> None:
    """Serve until the input ends."""
    replies = os.dup(1)
    os.dup2(2, 1)  # plug-ins print; what they print must not end up between the answers
    first = json.loads(sys.stdin.buffer.readline())
    _die_with(first["parent"])
    try:
        settings = build(RenderSettings, first["settings"])
        back_end = open_back_end(first["backend"], first["plugin"], settings)
        told: dict[str, Any] = {"parameters": [to_dict(one) for one in back_end.parameters()], "identity": back_end.identity()}
    except Exception as error:
        write_all(replies, _line({"error": str(error) if isinstance(error, SynthloomError) else f"{type(error).__name__}: {error}"}))
        return
    write_all(replies, _line(told))
    slots = np.frombuffer(mmap.mmap(first["shared"], 0), np.float32).reshape(-1, settings.samples)
    memory = _Memory()
    while (order := read_order(sys.stdin.buffer)) is not None:
        raw, note, slot = order
        write_all(replies, packed_answer(_rendered(back_end, settings, raw, note, slots[slot], memory)))


def _rendered(back_end: BackEnd, settings: RenderSettings, raw: dict[int, float], note: Note, slot: Audio, memory: _Memory) -> Answer:
    """Render one preset into shared memory [samples]; return what is said of it."""
    started = time.perf_counter()
    reason, samples = "", 0
    try:
        audio = finished(back_end.render(raw, note), settings)
        # In here, so that no number that is none ever leaves; the greatest of numbers of which one is NaN is NaN.
        if np.isfinite(audio.max()) and np.isfinite(audio.min()):
            samples = len(audio)
            slot[:samples] = audio
        else:
            reason = "not finite"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    return Answer(reason, samples, time.perf_counter() - started, memory.held_mb())


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"


class _Memory:
    """What this process holds."""

    def __init__(self) -> None:
        self._page_mb = os.sysconf("SC_PAGE_SIZE") / 2**20
        try:
            self._file = os.open("/proc/self/statm", os.O_RDONLY)
        except OSError:
            self._file = -1

    def held_mb(self) -> float:
        """Return the memory held at present; where the system does not tell (no /proc), the most ever held."""
        if self._file < 0:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return int(os.pread(self._file, 100, 0).split()[1]) * self._page_mb


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, however it ends (on Linux; elsewhere, with its input).

    A frozen plug-in would otherwise outlive a killed pool: it does not get to see that its input has ended.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it ended in between


if __name__ == "__main__":
    main()
    os._exit(0)  # what plug-ins do when their host ends is of no interest, and has been known to hang
