"""One training over several devices: k ranks that torchrun started do, within rounding, what one process would do.

Every rank draws the same whole batch from the same seed and works on its own rows of it (:func:`own_part`). The loss L of a batch of B
rows is the mean over its rows, so with n_r rows on rank r and L_r the mean over those, L = Σ_r (n_r / B) · L_r. All functions here keep
to that weighting, also for parts of different sizes, and do nothing but return their argument in a process that is alone.

What none of this can see: layers that look across the batch (batch normalisation), and random numbers drawn inside the model
(for dropout see :mod:`tasks.training.dropout`).
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch

# Read before there is a group: its functions have the group of that moment as default arguments, torch imports it with the first step of an
# optimizer, and a group that is held there is not taken down with the others: gloo's threads live on, and one that ends its work while
# the interpreter ends kills the process ("terminate called without an active exception").
import torch.distributed.nn.functional
from torch import Tensor
from torch import distributed as group
from torch.autograd.function import once_differentiable

from core.errors import InvalidValueError

MAIN = 0
PATIENCE = timedelta(days=2)
"""How long a rank waits for the others: while rank 0 validates or writes they only wait. Whoever started the training watches over it."""
BURIAL_S = 60.0
"""How long a rank whose conversation broke off waits to be ended; torchrun takes up to 30 s for a rank that does not listen."""
BUCKET = 1 << 25
"""Numbers in one message of :func:`average_gradients`: its extra memory is that, not a second set of gradients."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Belong to torchrun's process group for the length of the block; nothing happens where ``WORLD_SIZE`` is 1 or not set.

    After an error the group is not taken down: that could wait for ranks that will never answer, and the process is about to end.

    Args:
        device: ``cuda`` (nccl; the card with number ``LOCAL_RANK`` becomes torch's current one, so ``cuda`` means it) or ``cpu`` (gloo).

    Raises:
        InvalidValueError: several ranks on a kind of device that has no way to talk.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device not in ("cpu", "cuda"):
        raise InvalidValueError("one training cannot be spread over this device", where="device", allowed="cpu or cuda", received=device)
    if device == "cuda":
        card = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(card)
        group.init_process_group("nccl", timeout=PATIENCE, device_id=card)
    else:
        _stay_on_this_host()
        group.init_process_group("gloo", timeout=PATIENCE)
    yield
    barrier()
    group.destroy_process_group()


def _stay_on_this_host() -> None:
    """Let gloo talk over the loopback interface when all ranks are here: no open port, no hostname that has to resolve."""
    name = "lo0" if sys.platform == "darwin" else "lo"
    alone = os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]
    if alone and name in [interface for _, interface in socket.if_nameindex()]:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def rank() -> int:
    """Return this process's number in the group, 0 outside of one."""
    return group.get_rank() if group.is_initialized() else MAIN


def world() -> int:
    """Return how many ranks the group has, 1 outside of one."""
    return group.get_world_size() if group.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the rank that validates, decides and writes."""
    return rank() == MAIN


def bounds(total: int, which: int | None = None) -> tuple[int, int]:
    """Return the first row, and the one behind the last, of a rank's part of ``total`` rows.

    Parts are contiguous, in rank order, and differ by one row at most; with fewer rows than ranks some are empty.

    Args:
        total: rows of the whole batch.
        which: the rank; this one by default.
    """
    number, size = rank() if which is None else which, world()
    return total * number // size, total * (number + 1) // size


def own_part(rows: Tensor) -> Tensor:
    """Return this rank's rows of a whole batch [batch, …] (of indices, features, targets), as a view."""
    start, stop = bounds(len(rows))
    return rows[start:stop]


def average_gradients(parameters: Iterable[Tensor], own: int, total: int) -> None:
    """Make every rank's gradients those of the whole batch's loss: g = Σ_r (n_r / B) · g_r.

    Call it after ``backward`` and before clipping, on every rank, also on one with an empty part (whose gradients are None). A parameter
    that no rank has a gradient for keeps None, so that an optimizer passes it over as it would in one process.

    Args:
        parameters: the same ones in the same order on every rank.
        own: rows n_r of this rank's part.
        total: rows B of the whole batch.
    """
    if world() == 1:
        return
    trained = [part for part in parameters if part.requires_grad]
    used = torch.tensor([part.grad is not None for part in trained], dtype=torch.int32, device=_device())
    _talk(group.all_reduce, used, group.ReduceOp.MAX)
    wanted = [part for part, flag in zip(trained, used.tolist(), strict=True) if flag]
    for bucket in _buckets(wanted):
        flat = torch.cat([(torch.zeros_like(part) if part.grad is None else part.grad).reshape(-1) for part in bucket])
        flat *= own / total
        _talk(group.all_reduce, flat)
        for part, gradient in zip(bucket, flat.split([part.numel() for part in bucket]), strict=True):
            part.grad = gradient.view_as(part).clone()


def _buckets(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Group neighbours of one type, up to :data:`BUCKET` numbers."""
    bucket: list[Tensor] = []
    for part in parameters:
        if bucket and (part.dtype != bucket[0].dtype or sum(item.numel() for item in bucket) + part.numel() > BUCKET):
            yield bucket
            bucket = []
        bucket.append(part)
    if bucket:
        yield bucket


def gather_with_gradient(own: Tensor, total: int) -> Tensor:
    """Return the whole batch's rows [total, …] on every rank, made of each rank's part, with exact gradients.

    For losses that compare every row with every other (SupCon, InfoNCE). Each rank may then compute the loss of the whole batch, or the
    mean over its own rows as anchors; with :func:`average_gradients` behind ``backward`` the parameters get the gradient of
    L = Σ_s (n_s / B) · L_s, in both cases that of the whole batch. For this the gradient at x_r, the part of rank r, is returned as
    (B / n_r) · Σ_s (n_s / B) · ∂L_s/∂x_r: the leading factor undoes the weight that averaging puts on rank r.
    ``backward`` is a conversation too: every rank must call it.

    Args:
        own: this rank's part [n_r, …] of the batch as :func:`own_part` cuts it.
        total: rows B of the whole batch.

    Raises:
        InvalidValueError: ``own`` is not this rank's part, or there are fewer rows than ranks.
    """
    start, stop = bounds(total)
    if len(own) != stop - start or total < world():
        allowed = f"{stop - start} rows of {total}, at least one for each of {world()} ranks"
        raise InvalidValueError("not this rank's part", where="gather_with_gradient", allowed=allowed, received=tuple(own.shape))
    return own if world() == 1 else _Gather.apply(own, total)


class _Gather(torch.autograd.Function):
    """All-gather of unequal parts; see :func:`gather_with_gradient`."""

    @staticmethod
    def forward(context: Any, own: Tensor, total: int) -> Tensor:
        context.total = total
        sizes = [stop - start for start, stop in (bounds(total, number) for number in range(world()))]
        padded = own.new_zeros((max(sizes), *own.shape[1:]))  # messages must have one size
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        _talk(group.all_gather, parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        start, stop = bounds(context.total)
        weighted = gradient * ((stop - start) / context.total)
        _talk(group.all_reduce, weighted)
        return weighted[start:stop] * (context.total / (stop - start)), None


def mean_over_ranks(value: float, own: int, total: int) -> float:
    """Return Σ_r (n_r / B) · value_r, the whole batch's mean of a number that each rank has as the mean over its own rows."""
    if world() == 1:
        return value
    summed = torch.tensor(value * own / total, dtype=torch.float64, device=_device())
    _talk(group.all_reduce, summed)
    return float(summed)


@torch.no_grad()
def broadcast_model(model: torch.nn.Module) -> None:
    """Give every rank the parameters and buffers of rank 0."""
    if world() == 1:
        return
    for tensor in (*model.parameters(), *model.buffers()):
        sent = tensor.detach().contiguous()
        _talk(group.broadcast, sent, MAIN)
        tensor.copy_(sent)


def broadcast_number(value: float) -> float:
    """Return rank 0's number on every rank, as a float (whole numbers are exact up to 2**53); the others' is not looked at."""
    if world() == 1:
        return float(value)
    sent = torch.tensor(float(value), dtype=torch.float64, device=_device())
    _talk(group.broadcast, sent, MAIN)
    return float(sent)


def broadcast_json(value: Any) -> Any:
    """Return rank 0's value of JSON's types on every rank; the others' is not looked at. As JSON, since a pickle can carry code."""
    if world() == 1:
        return value
    text = json.dumps(value).encode() if is_main() else b""
    length = int(broadcast_number(len(text)))
    sent = torch.tensor(list(text) if is_main() else [0] * length, dtype=torch.uint8, device=_device())
    _talk(group.broadcast, sent, MAIN)
    return json.loads(bytes(sent.tolist()))


def barrier() -> None:
    """Wait until every rank is here."""
    if world() > 1:
        # Not group.barrier(): with nccl that only orders the card's work, while this number must have arrived.
        mean_over_ranks(0.0, 0, 1)


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if group.get_backend() == "nccl" else torch.device("cpu")


def _talk(collective: Callable[..., Any], *arguments: Any) -> None:
    """Do a collective. When it breaks off, wait to be ended.

    Another rank is gone then, and its error is the one to be shown, not the broken connection that follows from it: torchrun has seen
    that rank end, or will in a moment, and sends SIGTERM to this one.
    """
    try:
        collective(*arguments)
    except RuntimeError:
        time.sleep(BURIAL_S)
        raise
