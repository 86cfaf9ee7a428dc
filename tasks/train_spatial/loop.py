"""The loop of this training: gradients added up over batches, float16 with a scaled loss, and a rate that waits for skipped steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from core.context import Context
from core.errors import InvalidValueError
from tasks.training.distributed import average_gradients, world
from tasks.training.loop import CHECKPOINT_EVERY_S, Loop, Schedule

MOST_SKIPPED = 50
"""Steps in a row that may be skipped for an overflow."""
SCALE_AT_START = 2.0**16


class ScaledLoop(Loop):
    """:class:`Loop` whose steps may have several batches and may be skipped.

    Args:
        context: where progress and metrics go.
        phase: begins the names of metrics.
        steps: gradient steps, skipped ones included.
        optimizer: of the parameters; groups keep their weight decay.
        schedule: rate by update, so that a skipped step does not move it.
        seed: of batches and noise.
        accumulate: batches of a step.
        scaled: whether the loss is scaled (float16).
        clip_norm: longest gradient; 0 leaves it as it is.
    """

    def __init__(
        self, context: Context, phase: str, steps: int, optimizer: torch.optim.Optimizer, schedule: Schedule, seed: int, accumulate: int,
        scaled: bool, clip_norm: float,
    ) -> None:  # fmt: skip
        parameters = [part for group in optimizer.param_groups for part in group["params"]]
        super().__init__(context, phase, steps, parameters, schedule, seed, stream=0, clip_norm=clip_norm or None)
        self.optimizer = optimizer
        self.accumulate = accumulate
        self.scaler = torch.amp.GradScaler(torch.device(context.device).type, init_scale=SCALE_AT_START, enabled=scaled)
        self.updates = 0
        """Steps that were not skipped."""
        self._skipped = 0

    def go(self, start: int, batch: Callable[[int], float], after: Callable[[int], None], save: Callable[[int], None]) -> None:
        """Step from ``start`` to the end.

        Args:
            start: first step.
            batch: called with a batch's number; does its forward and backward pass by :meth:`backward` and returns its loss.
            after: called with each step that is done.
            save: called now and then with the next step, to write a checkpoint.

        Raises:
            InvalidValueError: the loss is no longer finite, or one step after the other overflows.
        """
        saved = time.monotonic()
        for step in range(start, self.steps):
            torch.manual_seed(self.seed * 7_919 + step)
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule(self.updates)
            self.optimizer.zero_grad()
            self.losses.append(sum(batch(step * self.accumulate + part) for part in range(self.accumulate)) / self.accumulate)
            self._update(step)
            after(step)
            self._report(step)
            if time.monotonic() - saved > CHECKPOINT_EVERY_S:
                save(step + 1)
                saved = time.monotonic()

    def backward(self, loss: torch.Tensor) -> None:
        """Add one batch's gradients, scaled."""
        self.scaler.scale(loss / self.accumulate).backward()

    def _update(self, step: int) -> None:
        # Equal parts on every rank, once per step and before the scale is taken off: an overflow anywhere is one everywhere.
        average_gradients(self.parameters, 1, world())
        before = self.scaler.get_scale()
        self.scaler.unscale_(self.optimizer)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        skipped = self.scaler.is_enabled() and self.scaler.get_scale() < before
        self._skipped = self._skipped + 1 if skipped else 0
        self.updates += not skipped
        broken = not self.scaler.is_enabled() and not math.isfinite(self.losses[-1])
        if broken or self._skipped > MOST_SKIPPED:
            raise InvalidValueError(
                f"the loss broke down at step {step}", where="training", allowed="a finite loss", received=self.losses[-1],
                hint="a lower learning rate, or precision float32 or bfloat16, may help",
            )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {**super().state(), "scaler": self.scaler.state_dict(), "updates": self.updates, "skipped": self._skipped}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().restore(state)
        self.scaler.load_state_dict(state["scaler"])
        self.updates, self._skipped = int(state["updates"]), int(state["skipped"])
