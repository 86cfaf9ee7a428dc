"""Dropout that drops the same numbers however many ranks a batch is spread over."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.training.distributed import bounds


class WholeBatchDropout(torch.nn.Module):
    """Dropout (Srivastava et al., 2014) whose mask is drawn for the whole batch and then cut to this rank's rows.

    The mask comes from torch's default generator of the input's device: seed it alike on every rank before each step. Drawing for all
    rows costs each rank k times the random numbers, which is little beside the layers in between.
    """

    def __init__(self, p: float, batch: int = 0) -> None:
        super().__init__()
        self.p = p
        """Probability that a number becomes zero; the others are divided by 1 − p."""
        self.batch = batch
        """Rows of the whole batch; 0 for those of the input. Set by :func:`expect_batch`."""

    def forward(self, part: Tensor) -> Tensor:
        """Return the part [own rows, …] with numbers dropped in training, as it is otherwise.

        Raises:
            ValueError: the input is not this rank's part of the announced batch.
        """
        if not self.training or not self.p:
            return part
        total = self.batch or len(part)
        start, stop = bounds(total) if self.batch else (0, total)
        if stop - start != len(part):
            raise ValueError(f"dropout got {len(part)} rows, but this rank's part of a batch of {total} are {stop - start}")
        mask = part.new_empty((total, *part.shape[1:])).bernoulli_(1 - self.p)
        return part * mask[start:stop] / (1 - self.p)

    def extra_repr(self) -> str:
        """Show the probability, as torch's own does."""
        return f"p={self.p}"


def replace_dropout(model: torch.nn.Module) -> None:
    """Put a :class:`WholeBatchDropout` in the place of every ``torch.nn.Dropout`` of a model.

    Dropout that a model calls as a function (attention's, in transformers) is not seen.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is torch.nn.Dropout:
                setattr(module, name, WholeBatchDropout(child.p))


def expect_batch(model: torch.nn.Module, total: int) -> None:
    """Tell a model's dropout how many rows the whole batch of the next forward pass has."""
    for module in model.modules():
        if isinstance(module, WholeBatchDropout):
            module.batch = total
