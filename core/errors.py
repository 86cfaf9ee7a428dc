"""Errors a person can act on: what, where, which values are allowed, what was received, what to run next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SynthloomError(Exception):
    """Base of every error synthloom raises on purpose; its text is meant for the person at the terminal."""


class InvalidValueError(SynthloomError, ValueError):
    """A setting, a column or a file does not fit.

    Args:
        what: what is wrong, in one clause.
        where: the key, file or line that holds it.
        allowed: the values that would have been accepted.
        received: what was found instead.
        hint: the next thing to do, usually a command.
    """

    def __init__(self, what: str, *, where: str, allowed: object = None, received: object = None, hint: str = "") -> None:
        parts = [f"{where}: {what}"]
        if allowed is not None:
            parts.append(f"allowed: {allowed}")
        parts.append(f"received: {received!r}")
        if hint:
            parts.append(hint)
        super().__init__("; ".join(parts))
        self.where = where

    def with_hint(self, hint: str) -> InvalidValueError:
        """Add what to do next, by somebody who knows the command, and return the error."""
        self.args = (f"{self.args[0]}; {hint}",)
        return self


class StageFailed(SynthloomError):
    """The stage ran and raised; the message carries the child's own traceback."""


class StageCrashed(SynthloomError):
    """The child ended without a result: a signal, an abort, or an exit nobody announced."""


class StageTimeout(SynthloomError):
    """The child ran past its deadline or stayed silent for too long and was killed."""


class StageCancelled(SynthloomError):
    """The run was stopped from outside and the child was killed with it."""


class NotPublishedError(SynthloomError):
    """A guard refused a new version of a published dataset; the work is done and kept, the last version stays."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the closest known name, or the sorted list of known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}"
