"""Measured programs in environments of their own: one that is asked for pieces of work, one that runs to its end. They answer in JSON."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from core import environments, keys
from core.launcher import clean_environment

TAIL_CHARS = 2000


def told(environment: str, *words: str, threads: int = 1) -> Any:
    """Run a program to its end; return the JSON of its last line.

    Args:
        environment: whose interpreter runs it.
        words: what comes behind the interpreter.
        threads: that libraries may use.

    Raises:
        RuntimeError: it failed; with the end of what it wrote on stderr.
    """
    command = [str(environments.python(environment)), *words]
    finished = subprocess.run(command, cwd=keys.ROOT, env=clean_environment(threads), text=True, capture_output=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"the measured program ended with {finished.returncode}: {finished.stderr[-TAIL_CHARS:]}")
    return json.loads(finished.stdout.splitlines()[-1])


class Child:
    """One process that does timed work on request: it answers once when it is ready, then each line with a line.

    Args:
        environment: whose interpreter runs it.
        words: what comes behind the interpreter.
        threads: that libraries may use.
        variables: of its environment, beside the clean ones.
    """

    def __init__(self, environment: str, *words: str, threads: int = 1, variables: Mapping[str, str] | None = None) -> None:
        command = [str(environments.python(environment)), *words]
        started = time.perf_counter()
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(
            command, cwd=keys.ROOT, env={**clean_environment(threads), **(variables or {})}, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        self.first = self.answer()
        self.start_s = time.perf_counter() - started

    def say(self, line: str) -> None:
        """Hand over a piece of work."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the work's end and return what it took."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"the measured program ended with {self._process.wait()}: {self._log.read()[-TAIL_CHARS:]}")
        return dict(json.loads(line))

    def seconds(self, line: str, clock: str = "seconds") -> float:
        """Do a piece of work and return its seconds, by the clock or (``processor``) of the processor."""
        self.say(line)
        return float(self.answer()[clock])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._log.close()
