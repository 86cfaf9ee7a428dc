"""Which rows of a table belong to which shard."""

from __future__ import annotations


def shard_rows(rows: int, shards: int) -> list[range]:
    """Deal rows to shards as evenly as can be, in order; some shards are empty where there are more of them than rows."""
    return [range(rows * shard // shards, rows * (shard + 1) // shards) for shard in range(shards)]
