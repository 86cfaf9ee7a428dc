"""Large batches in little memory: embeddings first without gradients, the loss over all of them, then each part again with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Outputs = tuple[Tensor, ...]


def cached_backward(
    model: nn.Module, encode: Callable[[slice], Outputs], parts: Sequence[slice], loss_of: Callable[[Outputs], Tensor],
    backward: Callable[[Tensor], None],
) -> Tensor:  # fmt: skip
    """Do what ``backward(loss_of(encode(all rows)))`` would, part by part (GradCache, Gao et al., 2021); return the loss.

    Exact but for layers that look across rows: batch norm sees one part at a time. Random numbers are drawn alike in both passes.

    Args:
        model: whose batch norms keep their running statistics still in the first pass.
        encode: rows → outputs.
        parts: the rows, cut.
        loss_of: all rows' outputs → loss.
        backward: called with what is to be differentiated; scales it where AMP does.
    """
    states, first = [], []
    with torch.no_grad(), still_statistics(model):
        for part in parts:
            states.append(_random_state())
            first.append(encode(part))
    whole = tuple(torch.cat(outputs).detach().requires_grad_() for outputs in zip(*first, strict=True))
    loss = loss_of(whole)
    backward(loss)
    after = _random_state()
    for part, state in zip(parts, states, strict=True):
        _restore(state)
        again = encode(part)
        surrogate = torch.zeros((), device=whole[0].device)
        for outputs, leaf in zip(again, whole, strict=True):
            if leaf.grad is not None:
                surrogate = surrogate + (outputs.float() * leaf.grad[part]).sum()
        surrogate.backward()  # type: ignore[no-untyped-call]  # the gradients are scaled already
    _restore(after)
    return loss.detach()


@contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch norms as they are for the length of the block."""
    norms = [(module, module.momentum) for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm, _ in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum


def _random_state() -> tuple[Tensor, list[Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _restore(state: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
