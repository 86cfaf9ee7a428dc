"""Runs with the standard library only."""

import os
import signal
import subprocess
import sys
import time

from core.context import Context
from tasks.misbehave.spec import Request, Result


def run(request: Request, context: Context) -> Result:
    """Do what was asked for."""
    (context.output / "half.txt").write_text("half a result")
    if request.how == "raise":
        raise ValueError("the stage raised on purpose")
    if request.how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if request.how == "exit":
        os._exit(3)
    if request.how == "memory":
        raise MemoryError("too little")
    if request.how in ("hang", "ignore_sigterm"):
        if request.how == "ignore_sigterm":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    if request.how == "shout":
        sys.stdout.write("x" * 60_000_000 + "\n")
        for _ in range(200_000):
            print("all work and no play " * 10)
    if request.how == "orphan":
        child = subprocess.Popen(["sleep", "3600"])
        (context.data_root / "orphan.pid").write_text(str(child.pid))
    if request.how == "leak":
        token = os.environ["HF_TOKEN"]
        print(f"token {token}")
        context.log(f"the token is {token}")
        raise ValueError(f"cannot log in with {token}")
    if request.how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if request.how == "full_disk":
        (context.output / "large.bin").write_bytes(b"x" * 40_000_000)
    if request.how == "print":
        print("a stray print on stdout")
        os.write(1, b"a line from C\n")
    if request.how == "no_result":
        os._exit(0)
    return Result(fine=True)
