"""The process that a plug-in runs in: ``python -m tasks.renderer.child``.

Reads one JSON line per order from stdin. Answers each on stdout: the length of what follows as eight hexadecimal digits, and JSON. The
samples that it tells of lie in memory that the parent shares, float32: through a pipe a clip of 5 s would be copied twice, in pieces. The
first line opens the back end, on the main thread, where plug-ins want to be loaded and played. Ends with its input or its parent.
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
from pathlib import Path
from typing import Any

import numpy as np

from core.contract import build, to_dict
from core.errors import SynthloomError
from core.host import PR_SET_PDEATHSIG
from tasks.renderer.interface import Audio, BackEnd, Note, RenderSettings, finished, open_back_end


def main() -> None:
    """Serve until the input ends."""
    replies = os.dup(1)
    os.dup2(2, 1)  # plug-ins print; what they print must not end up between the answers
    first = json.loads(sys.stdin.buffer.readline())
    _die_with(first["parent"])
    shared = np.frombuffer(mmap.mmap(first["shared"], 0), np.float32)
    try:
        settings = build(RenderSettings, first["settings"])
        back_end = open_back_end(first["backend"], first["plugin"], settings)
        _answer(replies, {"parameters": [to_dict(one) for one in back_end.parameters()], "identity": back_end.identity()})
    except Exception as error:
        _answer(replies, {"error": str(error) if isinstance(error, SynthloomError) else f"{type(error).__name__}: {error}"})
        return
    notes: dict[str, Note] = {}
    for line in sys.stdin.buffer:
        order = json.loads(line)
        told = order["note"]
        if told not in notes:
            notes[told] = build(Note, json.loads(told))
        _answer(replies, _rendered(back_end, settings, order["raw"], notes[told], shared))


def _rendered(back_end: BackEnd, settings: RenderSettings, given: dict[str, float], note: Note, shared: Audio) -> dict[str, Any]:
    """Render one preset into the shared memory [samples]; return what is said of it."""
    started = time.perf_counter()
    reason, samples = "", 0
    try:
        raw = {int(index): value for index, value in given.items()}
        audio = finished(back_end.render(raw, note), settings)
        # In here, so that no number that is none ever leaves; the greatest of numbers of which one is NaN is NaN.
        if np.isfinite(audio.max()) and np.isfinite(audio.min()):
            samples = len(audio)
            shared[:samples] = audio
        else:
            reason = "not finite"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    return {"reason": reason, "samples": samples, "seconds": time.perf_counter() - started, "memory_mb": _memory_mb()}


def _answer(replies: int, told: dict[str, Any]) -> None:
    """Write an answer."""
    text = json.dumps(told).encode()
    rest = memoryview(b"%08x" % len(text) + text)
    while rest:
        rest = rest[os.write(replies, rest) :]


def _memory_mb() -> float:
    """Return the memory this process holds at present; where the system does not tell (no /proc), the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the pool's thread that started it ends, however it ends (on Linux; elsewhere, with its input).

    A frozen plug-in would otherwise outlive a killed pool: it does not get to see that its input has ended.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it ended in between


if __name__ == "__main__":
    main()
    os._exit(0)  # what plug-ins do when their host ends is of no interest, and has been known to hang
