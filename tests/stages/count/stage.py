"""Runs with the standard library only."""

import json
import os
import time

from core.context import Context
from tasks.count.spec import Request, Result


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Write the items of the given shards, and a line to the work log that tests read."""
    for number, shard in enumerate(shards):
        with context.shard(shard) as folder:
            time.sleep(request.seconds_per_shard)
            if shard == request.memory_shard and request.batch_size > request.fits:
                raise MemoryError(f"batch of {request.batch_size} in shard {shard}")
            card = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            if request.crash_without and not (context.data_root / f"{request.crash_without}{card}").exists():
                os._exit(9)
            if shard == request.fail_shard:
                raise RuntimeError(f"shard {shard} was told to fail")
            items = list(range(shard, request.items, request.shards))
            (folder / "items.json").write_text(json.dumps(items))
        with (context.data_root / "work.log").open("a") as log:
            log.write(f"{shard} {os.getpid()} {context.output.name}\n")
        context.progress(number + 1, len(shards), "shards")


def run(request: Request, context: Context) -> Result:
    """Add up all shards."""
    found = sorted(item for shard in range(request.shards) for item in json.loads((context.shard_folder(shard) / "items.json").read_text()))
    (context.output / "items.json").write_text(json.dumps(found))
    return Result(items=len(found), total=sum(found))
