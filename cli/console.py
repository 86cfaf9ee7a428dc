"""What a person sees while a run works: one line per step, and on a terminal a live line with everything that is under way."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from typing import Any, TextIO

from core.context import CLIPS_MADE, CLIPS_REUSED
from core.graph import Step

IDLE_S, AGAIN_S = 30.0, 300.0
"""Seconds without a word of any child after which it is said that steps wait for a place, and until it is said again."""
PLAIN_EVERY_S = 15.0
"""Between two progress lines of one step where the output is no terminal (a log file, CI)."""


class Console:
    """Prints step progress; safe to call from several threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._lock = threading.Lock()
        self._progress: dict[str, str] = {}
        self._printed: dict[str, float] = {}
        self._started = self._heard = time.monotonic()
        self._waited = -AGAIN_S

    def line(self, text: str = "") -> None:
        """Print one permanent line."""
        with self._lock:
            self._clear()
            print(text, file=self._stream, flush=True)
            self._draw()

    def event(self, step: Step, event: dict[str, Any]) -> None:
        """Show one event of a step."""
        kind = event["event"]
        if kind == "waiting":
            return self._on_waiting(step)
        self._heard = time.monotonic()
        if kind == "started":
            self.line(f"{self._clock()}  ▶ {step.label}")
        elif kind == "progress":
            self._on_progress(step, event)
        elif kind == "published":
            self._progress.pop(step.label, None)
            usage = event["usage"]
            self.line(f"{self._clock()}  ✓ {step.label}  {summary(event['result'])}  ({usage['wall_s']:.0f} s{taken_over(usage)})")
        elif kind == "error":
            self._progress.pop(step.label, None)
            self.line(f"{self._clock()}  ✗ {step.label}: {event.get('message')}")

    def _on_waiting(self, step: Step) -> None:
        """Say that steps wait, when nobody works: the cores and devices of a machine are shared with its other runs."""
        now = time.monotonic()
        if now - self._heard >= IDLE_S and now - self._waited >= AGAIN_S:
            self._waited = now
            self.line(f"{self._clock()}    {step.label} waits for a free core or device; ./run.sh status says what is taken")

    def _on_progress(self, step: Step, event: dict[str, Any]) -> None:
        text = f"{step.label} {event['done']}/{event['total']} {event.get('unit', '')}"
        with self._lock:
            self._progress[step.label] = text
            if self._live:
                self._clear()
                self._draw()
                return
        now = time.monotonic()
        if now - self._printed.get(step.label, self._started) >= PLAIN_EVERY_S:
            self._printed[step.label] = now
            self.line(f"{self._clock()}    {text}")

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._started)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")

    def _draw(self) -> None:
        if self._live and self._progress:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"{self._clock()}    {'  ·  '.join(self._progress.values())}"[:width])
            self._stream.flush()


def taken_over(usage: dict[str, float]) -> str:
    """Return how many of a step's clips came from earlier outputs, where some did."""
    reused, made = int(usage.get(CLIPS_REUSED, 0)), int(usage.get(CLIPS_MADE, 0))
    return f"; {made} clips made, {reused} taken over" if reused else ""


def summary(result: dict[str, Any]) -> str:
    """Return a result's numbers on one line: counts as they are, shares and scores with three digits."""
    parts = []
    for name, value in result.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        parts.append(f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts[:6])
