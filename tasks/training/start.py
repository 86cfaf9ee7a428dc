"""What every training stage does before it opens its data."""

from __future__ import annotations

import torch

from core.context import Context
from tasks.training.distributed import world


def repeatable(context: Context) -> None:
    """Take the stage's own number of threads, and operations that give the same numbers each time where torch has them."""
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time and changes nothing here


def say_ranks(wanted: int, context: Context) -> None:
    """Log where torchrun started another number of ranks than ``num_devices`` asked for."""
    if world() != wanted:
        context.log(f"num_devices is {wanted}, but torchrun started {world()}; training on {world()}")
