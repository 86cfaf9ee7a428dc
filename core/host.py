"""Runs one stage: ``python -m core.host tasks.<stage> request.json``, as a child of the engine or by hand.

As a child (``SYNTHLOOM_CHILD=1``) it speaks the line protocol of :mod:`core.events` on stdout and dies when its parent does.
By hand it prints human lines and writes into ``--output``. The code that runs is the same.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from core import atomic, events
from core.context import SHARDS, Context, print_human
from core.contract import Stage, build, load_spec, to_dict

RESULT = "result.json"
EXIT_FAILED = 70
"""The stage raised; the error event carries the traceback."""
EXIT_OUT_OF_MEMORY = 77
"""The device's memory did not suffice; worth a second try with a smaller batch."""
MAIN_RANK = 0
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""

Emit = Callable[[str, dict[str, Any]], None]


class Terminated(BaseException):
    """SIGTERM arrived; a BaseException so that ``except Exception`` in a library cannot swallow it."""


def _raise_terminated(signum: int, frame: FrameType | None) -> None:
    raise Terminated(f"signal {signum}")


def _die_with_parent() -> None:
    """Kill this process group as soon as the parent's end of stdin closes, however the parent ended."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _die_with_torchrun() -> None:
    """Have the kernel kill this rank when torchrun ends, however it ends (on Linux; elsewhere there is no such order).

    torchrun gives every rank a session of its own, where no signal to the child's group arrives, and the thread that watches stdin
    does not get to run while a library holds the interpreter lock. Not for a lone child: the order is given for the parent's thread.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


class Channel:
    """Writes events to the original stdout, while fd 1 is pointed at stderr so that prints cannot break the protocol."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        sys.stdout.flush()
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)

    def emit(self, event: str, values: dict[str, Any]) -> None:
        """Send one event; safe to call from several threads."""
        with self._lock:
            self._stream.write(events.encode(event, **values) + "\n")
            self._stream.flush()


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m core.host", description=__doc__)
    parser.add_argument("stage", help="tasks.<stage> or just the stage's name")
    parser.add_argument("request", type=Path, help="JSON file with the fields of the stage's Request")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("SYNTHLOOM_DATA", "data")))
    parser.add_argument("--final", default="", help="where the output will be published, relative to the data root")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "mps"])
    parser.add_argument("--donors", default="", help="comma-separated finished outputs of the stage that clips may be taken over from")
    parser.add_argument("--shards", default=None, help="comma-separated shard numbers; without it all shards, then the combining run")
    return parser.parse_args(arguments)


def execute(stage: Stage, request: Any, context: Context, shards: list[int] | None) -> dict[str, Any] | None:
    """Run the named shards (no result), or everything that is left and the stage's ``run`` (its result as a dict)."""
    module = importlib.import_module(f"tasks.{stage.name}.stage")
    if stage.sharded:
        wanted = list(range(request.shards)) if shards is None else shards
        pending = [shard for shard in wanted if not context.shard_is_done(shard)]
        if pending:
            (context.output / SHARDS).mkdir(parents=True, exist_ok=True)
            module.run_shards(request, context, pending)
        if shards is not None:
            return None
    return dict(to_dict(module.run(request, context)))


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def main(arguments: list[str]) -> int:
    """Run one stage and return the exit code."""
    options = _parse(arguments)
    as_child = os.environ.get("SYNTHLOOM_CHILD") == "1"
    emit: Emit = print_human
    rank = int(os.environ.get("RANK", MAIN_RANK))
    if as_child:
        _die_with_parent()
        if "RANK" in os.environ:
            _die_with_torchrun()
        emit = Channel().emit
    if rank != MAIN_RANK:
        emit = _only_errors(emit)
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        spec = load_spec(options.stage)
        emit("started", {"stage": spec.STAGE.name, "pid": os.getpid()})
        request = build(spec.Request, json.loads(options.request.read_text()))
        options.output.mkdir(parents=True, exist_ok=True)
        data_root = options.data_root.resolve()
        context = Context(
            output=options.output.resolve(), data_root=data_root, device=options.device, threads=spec.STAGE.cpu_threads,
            final=options.final or os.path.relpath(options.output.resolve(), data_root), emit=emit,
            donors=tuple(part for part in options.donors.split(",") if part),
        )  # fmt: skip
        shards = None if options.shards is None else [int(part) for part in options.shards.split(",") if part]
        result = execute(spec.STAGE, request, context, shards)
        if result is not None and rank == MAIN_RANK:
            atomic.write_json(options.output / RESULT, result)
    except Terminated:
        return 128 + signal.SIGTERM
    except Exception as error:
        code = EXIT_OUT_OF_MEMORY if _is_out_of_memory(error) else EXIT_FAILED
        told = {"type": type(error).__name__, "message": str(error), "traceback": traceback.format_exc(), "exit_code": code}
        emit("error", {**told, **_gpu_peak()})
        return code
    emit("finished", {"message": f"{spec.STAGE.name} finished", "result": result, **_gpu_peak()})
    return 0


def _only_errors(emit: Emit) -> Emit:
    """Of the ranks of one training only the first speaks, unless another one fails."""

    def quiet(event: str, values: dict[str, Any]) -> None:
        if event == "error":
            emit(event, values)

    return quiet


def _gpu_peak() -> dict[str, float]:
    """Return the most GPU memory torch held, where this stage used torch on a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    return {"gpu_peak_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20, 1)}


def leave(code: int) -> NoReturn:
    """End this process now: no thread of a library and no finaliser may turn a finished stage into a hanging or a dying child."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
