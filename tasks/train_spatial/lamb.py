"""LAMB (You et al., 2020): Adam's step, as long for each tensor as its weights say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """w ← w − rate · (‖w‖ / ‖u‖) · u with u = m̂ / (√v̂ + ε) + λ w; the ratio is 1 where one of the lengths is 0."""

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step; closures are not supported."""
        for group in self.param_groups:
            for part in group["params"]:
                if part.grad is not None:
                    self._move(part, group)

    def _move(self, part: Tensor, group: dict[str, Any]) -> None:
        state, (first, second) = self.state[part], group["betas"]
        if not state:
            state.update(step=0, mean=torch.zeros_like(part), square=torch.zeros_like(part))
        state["step"] += 1
        state["mean"].lerp_(part.grad, 1 - first)
        state["square"].mul_(second).addcmul_(part.grad, part.grad, value=1 - second)
        mean = state["mean"] / (1 - first ** state["step"])
        square = state["square"] / (1 - second ** state["step"])
        update = mean / (square.sqrt() + group["eps"]) + group["weight_decay"] * part
        lengths = part.norm(), update.norm()
        ratio = torch.where((lengths[0] > 0) & (lengths[1] > 0), lengths[0] / lengths[1].clamp(min=1e-30), 1.0)
        part.sub_(group["lr"] * ratio * update)
