"""Test stage: writes one small file per item, shard by shard, and says which process did what."""

from dataclasses import dataclass

from core.contract import Stage, check_range, external_path, runtime_setting

STAGE = Stage(
    name="count", environment="orchestrator", version=1, memory_mb=50, time_limit_s=120, silence_limit_s=60, sharded=True, uses_gpu=True
)


@dataclass(frozen=True)
class Request:
    """How much to count."""

    items: int = 10
    """Number of items over all shards."""
    shards: int = 5
    """Number of shards; item i belongs to shard i modulo shards."""
    seconds_per_shard: float = 0.0
    """How long a shard takes."""
    source: str = external_path(default="")
    """A file outside the store, whose content enters the key."""
    before: str = ""
    """Output of an earlier step."""
    batch_size: int = runtime_setting(default=8)
    """Does not change the output."""
    fail_shard: int = -1
    """Shard that raises."""
    long_shard: int = -1
    """Shard that is said to take ten times as long."""
    memory_shard: int = -1
    """Shard that runs out of memory at any batch size above ``fits``."""
    fits: int = 0
    """Batch size that the device's memory suffices for."""
    crash_without: str = ""
    """Crash while a file of this name plus the visible device's UUID is missing below the data root; what a lost device looks like."""

    def __post_init__(self) -> None:
        check_range("count.items", self.items, 0, 1_000_000)


@dataclass(frozen=True)
class Result:
    """What was counted."""

    items: int
    """Number of items found in the shards."""
    total: int
    """Their sum."""


def shard_costs(request: Request) -> list[float]:
    """Return relative costs."""
    return [10.0 if shard == request.long_shard else 1.0 for shard in range(request.shards)]
