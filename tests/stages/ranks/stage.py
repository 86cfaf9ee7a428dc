"""Needs torch for its process group."""

import ctypes
import json
import os
import time

import torch

from core.context import Context
from tasks.ranks.spec import Request, Result


def run(request: Request, context: Context) -> Result:
    """Add the ranks up."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    value = torch.tensor([rank + 1])
    if world > 1:
        torch.distributed.init_process_group("gloo")
        torch.distributed.all_reduce(value)
    seen = {name: os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS")}
    (context.data_root / f"rank-{rank}.json").write_text(json.dumps({**seen, "device": context.device}))
    (context.data_root / f"rank-{rank}.pid").write_text(str(os.getpid()))
    if rank == request.fail_rank:
        raise RuntimeError(f"rank {rank} was told to fail")
    if request.hang:
        context.log("hanging")
        if request.deaf:
            ctypes.PyDLL(None).sleep(600)  # unlike CDLL, keeps the interpreter lock
        time.sleep(600)
    return Result(total=int(value))
