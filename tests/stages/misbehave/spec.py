"""Test stage: fails in one of the ways a child process can."""

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage

STAGE = Stage(name="misbehave", environment="orchestrator", version=1, memory_mb=50, time_limit_s=30, silence_limit_s=2)


@dataclass(frozen=True)
class Request:
    """How to misbehave."""

    how: Literal[
        "raise",
        "segfault",
        "exit",
        "hang",
        "ignore_sigterm",
        "shout",
        "orphan",
        "print",
        "no_result",
        "memory",
        "leak",
        "killed",
        "full_disk",
        "none",
    ] = "none"
    """The way to fail; none does nothing at all, well."""
    salt: int = 0
    """Makes requests differ."""


@dataclass(frozen=True)
class Result:
    """Nothing went wrong."""

    fine: bool
    """True."""
