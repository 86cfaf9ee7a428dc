"""When the next request may start: requests per minute, and the pauses a server asks for, shared by all threads."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from core.errors import InvalidValueError

LONGEST_PAUSE_S = 300.0
"""A server that asks for more has a daily limit rather than a busy minute; waiting on would look like a hung stage."""


class Stopped(Exception):
    """The stage is ending; no further request is started."""


class Pacer:
    """Hands out starting times, evenly spaced."""

    def __init__(self, requests_per_minute: float) -> None:
        self._gap_s = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def wait(self) -> None:
        """Block until a request may start.

        Raises:
            Stopped: :meth:`stop` was called.
        """
        while not self._stop.is_set():
            with self._lock:
                now = time.monotonic()
                if now >= self._next:
                    self._next = now + self._gap_s
                    return
                left = self._next - now
            self._stop.wait(min(left, 1.0))
        raise Stopped

    def pause(self, seconds: float) -> None:
        """Let no request start for so long; one thread's 429 holds all of them."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Wait in one thread only; returns at once when the stage is ending."""
        self._stop.wait(seconds)

    def stop(self) -> None:
        """Start no further request."""
        self._stop.set()


def retry_after_s(value: str | None, default_s: float, clock: Callable[[], float] = time.time) -> float:
    """Return the seconds that a ``Retry-After`` header asks for (seconds or an HTTP date, RFC 9110), ``default_s`` without a usable one.

    Raises:
        InvalidValueError: it asks for more than :data:`LONGEST_PAUSE_S`.
    """
    wait = default_s
    if value:
        try:
            wait = float(value)
        except ValueError:
            try:
                wait = parsedate_to_datetime(value).timestamp() - clock()
            except (ValueError, OverflowError):
                wait = default_s
    wait = default_s if math.isnan(wait) else wait
    if wait > LONGEST_PAUSE_S:
        raise InvalidValueError(
            "the language model's server asks for a longer pause than is waited for", where="OPENAI_BASE_URL",
            allowed=f"up to {LONGEST_PAUSE_S:g} s", received=f"Retry-After: {str(value)[:40]}",
            hint="run again later: answers received so far are kept and cost nothing",
        )  # fmt: skip
    return max(0.0, wait)
