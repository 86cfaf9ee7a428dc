"""Test stage: every rank of a torchrun group adds its number with gloo; the first writes the sum."""

from dataclasses import dataclass

from core.contract import Stage, runtime_setting

STAGE = Stage(name="ranks", environment="train", version=1, memory_mb=300, time_limit_s=120, silence_limit_s=60, uses_gpu=True)


@dataclass(frozen=True)
class Request:
    """How many take part."""

    num_devices: int = runtime_setting(default=1)
    """Ranks."""
    fail_rank: int = -1
    """Rank that raises."""
    hang: bool = False
    """Whether all of them hang, after they have met."""
    deaf: bool = False
    """Whether they hang in a way that no thread and no signal handler of their own can end."""


@dataclass(frozen=True)
class Result:
    """What was added up."""

    total: int
    """Sum of rank + 1."""
