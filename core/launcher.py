"""Starts a stage as a child process, listens to it, and makes sure that it and everything it started ends.

Who ends a child: its own exit, the deadline, silence, a cancelled run (:func:`supervised`), or the death of this process, which
closes the child's stdin (see :mod:`core.host`). In every case the whole process group is killed and reaped.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from core import events
from core.errors import StageCancelled, StageCrashed, StageFailed, StageTimeout
from core.host import EXIT_OUT_OF_MEMORY
from core.redact import redactor

GRACE_S = 10.0
"""Between SIGTERM to the group and SIGKILL."""
TAIL_LINES = 200
LOG_LIMIT_CHARS = 20_000_000
"""What a child prints beyond this is not kept, except for its last lines: a shouting child must not fill the disk."""
STOP_EVERY_S = 0.5

Observer = Callable[[dict[str, Any]], None]


class OutOfDeviceMemory(StageFailed):
    """The child ran out of its device's memory."""


@dataclass(frozen=True)
class Usage:
    """What a child cost."""

    wall_s: float
    cpu_s: float
    peak_memory_mb: float
    gpu_s: float = 0.0
    """How long GPUs were leased to it, summed over them."""
    gpu_peak_memory_mb: float = 0.0
    """Most GPU memory torch held at a time, per card."""
    read_mb: float = 0.0
    written_mb: float = 0.0
    """What it and its own children read and wrote through system calls, from the page cache as well as from disk."""


@dataclass(eq=False)
class _Child:
    """One running child and what is known of it."""

    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    last_sign_of_life: float = field(default_factory=time.monotonic)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    error: dict[str, Any] | None = None
    killed_for: type[Exception] | None = None
    usage: Usage | None = None
    stop: Callable[[], bool] = field(default=lambda: False)
    asked_to_stop: float = 0.0
    logged_chars: int = 0
    gpu_peak_memory_mb: float = 0.0
    clean: Callable[[Any], Any] = field(default_factory=redactor)


_live: set[_Child] = set()
_live_lock = threading.Lock()
_cancelled = threading.Event()


@contextmanager
def supervised() -> Iterator[None]:
    """Kill every live child when the block ends with an exception, including KeyboardInterrupt and cancellation.

    Prefect's cancellation does not reach a task in a thread; around the flow's body this does.
    """
    _cancelled.clear()
    try:
        yield
    except BaseException:
        _cancelled.set()
        kill_all()
        raise


def cancelled() -> bool:
    """Whether the run in this process was stopped."""
    return _cancelled.is_set()


def kill_all() -> None:
    """Kill the process groups of all live children, at once and without grace."""
    with _live_lock:
        children = list(_live)
    for child in children:
        child.killed_for = StageCancelled
        _signal_group(child.process, signal.SIGKILL)


def run_child(
    command: Sequence[str], *, title: str, environment: Mapping[str, str], log: Path, time_limit_s: float, silence_limit_s: float,
    observer: Observer, descriptors: Sequence[int] = (), cwd: Path | None = None, stop: Callable[[], bool] = cancelled, gpus: int = 0,
) -> Usage:  # fmt: skip
    """Run one stage child to its end.

    Args:
        command: argv; ``command[0]`` is the environment's interpreter.
        title: what to call the child in errors.
        environment: the child's complete environment (:func:`clean_environment`).
        log: file that receives every line the child printed.
        time_limit_s: wall-clock limit.
        silence_limit_s: limit between two lines of output or events.
        observer: receives every event, from this thread.
        descriptors: open files the child must inherit (leases, locks).
        cwd: working directory.
        stop: asked twice a second; True kills the child.
        gpus: how many GPUs it was leased.

    Raises:
        StageFailed: the stage raised; OutOfDeviceMemory if its device was too small.
        StageCrashed: the child died without saying why.
        StageTimeout: a limit was passed.
        StageCancelled: the run was stopped.
    """
    if stop():
        raise StageCancelled(f"{title} was not started: the run was cancelled")
    log.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        pass_fds=tuple(descriptors), env=dict(environment), cwd=cwd,
    )  # fmt: skip
    child = _Child(process, stop=stop)
    with _live_lock:
        _live.add(child)
    try:
        with log.open("w", encoding="utf-8") as log_file:
            _listen(child, log_file, observer, time_limit_s, silence_limit_s)
            usage = _reap(child)
        _raise_for_exit(child, title, log, time_limit_s, silence_limit_s)
        return dataclasses.replace(usage, gpu_s=round(usage.wall_s * gpus, 3), gpu_peak_memory_mb=child.gpu_peak_memory_mb)
    except BaseException:
        child.killed_for = child.killed_for or StageCancelled
        raise
    finally:
        _end_group(child)
        with _live_lock:
            _live.discard(child)


def _listen(child: _Child, log_file: IO[str], observer: Observer, time_limit_s: float, silence_limit_s: float) -> None:
    """Read both pipes until they close or a limit passes, handing on events and keeping the rest as log."""
    lines: queue.Queue[str | None] = queue.Queue(maxsize=10_000)
    for stream in (child.process.stdout, child.process.stderr):
        assert stream is not None
        context = contextvars.copy_context()  # each thread needs its own copy; sharing one raises
        threading.Thread(target=context.run, args=(_pump, stream, lines), daemon=True).start()
    open_streams = 2
    while open_streams:
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            if _check_limits(child, time_limit_s, silence_limit_s) or (_has_exited(child.process) and lines.empty()):
                break  # a grandchild may hold the pipe open; the leader is gone, so this is the end
            continue
        if line is None:
            open_streams -= 1
            continue
        child.last_sign_of_life = time.monotonic()
        _handle(child, line, log_file, observer)
        _check_limits(child, time_limit_s, silence_limit_s)


def _pump(stream: IO[bytes], lines: queue.Queue[str | None]) -> None:
    """Move lines from a pipe to the queue; a line longer than the limit is cut into pieces."""
    with stream, contextlib.suppress(OSError, ValueError):
        while chunk := stream.readline(events.MAX_LINE_CHARS):
            lines.put(chunk.decode("utf-8", "replace").rstrip("\r\n"))
    lines.put(None)


def _handle(child: _Child, line: str, log_file: IO[str], observer: Observer) -> None:
    event = events.decode(line)
    if event is None:
        text = child.clean(line)
        child.tail.append(text)
        _log(child, text, log_file)
        return
    event = child.clean(event)
    if event["event"] == "error" and child.error is None:
        child.error = event  # the first: of several ranks the others only lose their connection to it
    if event["event"] == "log":
        _log(child, str(event.get("message", "")), log_file)
    child.gpu_peak_memory_mb = max(child.gpu_peak_memory_mb, float(event.get("gpu_peak_memory_mb") or 0.0))
    observer(event)


def _log(child: _Child, text: str, log_file: IO[str]) -> None:
    """Keep a line, up to the limit. A full disk costs log lines, not the child: its own error then says what is full."""
    if child.logged_chars > LOG_LIMIT_CHARS:
        return
    child.logged_chars += len(text) + 1
    with contextlib.suppress(OSError):
        log_file.write(text + "\n" if child.logged_chars <= LOG_LIMIT_CHARS else "… the rest was not kept\n")
        log_file.flush()


def _check_limits(child: _Child, time_limit_s: float, silence_limit_s: float) -> bool:
    """Kill the child if it ran or was silent for too long; returns whether it was killed."""
    if child.killed_for:
        return True
    now = time.monotonic()
    if now - child.asked_to_stop >= STOP_EVERY_S:
        child.asked_to_stop = now
        if child.stop():
            child.killed_for = StageCancelled
            _end_group(child)
            return True
    if now - child.started > time_limit_s or now - child.last_sign_of_life > silence_limit_s:
        child.killed_for = StageTimeout
        _end_group(child)
        return True
    return False


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Whether the child is gone, without reaping it: its resource usage is still to be read."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(child: _Child) -> None:
    """SIGTERM to the group, a bounded wait for its leader, then SIGKILL to whatever is left of it."""
    process = child.process
    if not _has_exited(process):
        _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + (0 if child.killed_for is StageCancelled else GRACE_S)
        while time.monotonic() < deadline and not _has_exited(process):
            time.sleep(0.05)
    _signal_group(process, signal.SIGKILL)  # data-loader workers may outlive the leader
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()
    _reap(child)


def _reap(child: _Child) -> Usage:
    """Wait for the leader and return its cost, as the kernel counted it for the child and what it waited for."""
    if child.usage is None:
        os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its counters are still there
        read_mb, written_mb = _transferred_mb(child.process.pid)
        _, status, usage = os.wait4(child.process.pid, 0)
        child.process.returncode = os.waitstatus_to_exitcode(status)
        child.usage = Usage(
            wall_s=round(time.monotonic() - child.started, 3), cpu_s=round(usage.ru_utime + usage.ru_stime, 3),
            peak_memory_mb=round(usage.ru_maxrss / 1024, 1), read_mb=read_mb, written_mb=written_mb,
        )  # fmt: skip
    return child.usage


def _transferred_mb(pid: int) -> tuple[float, float]:
    """Return what a process read and wrote; zeros where the system does not tell (no /proc)."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    counters = {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}
    return round(counters.get("rchar", 0) / 2**20, 3), round(counters.get("wchar", 0) / 2**20, 3)


def _raise_for_exit(child: _Child, title: str, log: Path, time_limit_s: float, silence_limit_s: float) -> None:
    code = child.process.returncode
    tail = "\n".join(list(child.tail)[-20:])
    if child.killed_for is StageCancelled or (code and child.stop()):
        raise StageCancelled(f"{title} was stopped with its run")
    if child.killed_for is StageTimeout:
        raise StageTimeout(
            f"{title} was killed: allowed are {time_limit_s:g} s in all and {silence_limit_s:g} s without a sign of life; "
            f"log: {log}\n{tail}"
        )
    if child.error is not None:
        # torchrun's own exit code hides that of its ranks, so the event says it too.
        kind = OutOfDeviceMemory if EXIT_OUT_OF_MEMORY in (code, child.error.get("exit_code")) else StageFailed
        raise kind(f"{title}: {child.error.get('type')}: {child.error.get('message')}\nlog: {log}\n{child.error.get('traceback')}")
    if code:
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = " (the kernel's out-of-memory killer is the usual sender)" if code == -signal.SIGKILL else ""
        raise StageCrashed(f"{title} died of {name}{hint}; log: {log}\n{tail}")


_INHERITED = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "HF_HOME", "HF_TOKEN", "TORCH_HOME", "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE", "OPENAI_BASE_URL", "OPENAI_API_KEY", "LD_LIBRARY_PATH", "SYNTHLOOM_STAGES",
)  # fmt: skip


KEPT_BYTES = str(1 << 30)
"""For glibc: memory that a child keeps to use again. A training step's tensors would be given back to the system after each step, and the
same pages fetched again, cleared: 8,000 page faults a step of the AST, a sixth of its time, and more beside a second training."""


def clean_environment(threads: int, visible_devices: str = "", cache: Path | None = None) -> dict[str, str]:
    """Return the environment of a stage child: what it needs and nothing that could lead it to another installation.

    Args:
        threads: CPU threads for BLAS and OpenMP.
        visible_devices: UUIDs for ``CUDA_VISIBLE_DEVICES``; empty hides every GPU.
        cache: folder for library caches (compiled kernels, fonts), kept below the data root.
    """
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    count = str(threads)
    kept |= {
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent), "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1", "PYTHONHASHSEED": "0",
        "SYNTHLOOM_CHILD": "1", "CUDA_VISIBLE_DEVICES": visible_devices, "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count, "NUMEXPR_NUM_THREADS": count, "TOKENIZERS_PARALLELISM": "false",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "WANDB_MODE": "disabled", "DO_NOT_TRACK": "1", "MPLBACKEND": "Agg",
        "MALLOC_TRIM_THRESHOLD_": KEPT_BYTES, "MALLOC_MMAP_THRESHOLD_": KEPT_BYTES,
    }  # fmt: skip
    if not cache:
        return kept | {"PYTHONDONTWRITEBYTECODE": "1"}
    # Bytecode is kept there too, not beside the sources: the train environment imports 3,700 modules, 13 s without it, 5 s with.
    return kept | {
        "PYTHONPYCACHEPREFIX": str(cache / "bytecode"), "MPLCONFIGDIR": str(cache / "matplotlib"),
        "NUMBA_CACHE_DIR": str(cache / "numba"), "XDG_CACHE_HOME": str(cache),
    }  # fmt: skip
