"""Parts of a batch, each on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch


def joined(work: Callable[[int], torch.Tensor], starts: Sequence[int], device: torch.device) -> torch.Tensor:
    """Return ``work(start)`` of every start, one after the other in one tensor, worked out on as many threads as torch may use on the CPU.

    torch itself would spread every single operation over its threads (``torch.set_num_threads``). Operations on a few sounds are over
    within microseconds, and threads that wait for each other after every one of them are slower than one thread, on a busy machine many
    times so. For the time of the work, torch is set to one thread.
    """
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        return torch.cat([work(start) for start in starts])
    recording = torch.is_grad_enabled()

    def on_one_thread(start: int) -> torch.Tensor:
        torch.set_num_threads(1)
        with torch.set_grad_enabled(recording):
            return work(start)

    torch.set_num_threads(1)
    try:
        if len(starts) == 1:
            return work(starts[0])
        with ThreadPoolExecutor(min(before, len(starts))) as pool:
            return torch.cat(list(pool.map(on_one_thread, starts)))
    finally:
        torch.set_num_threads(before)
