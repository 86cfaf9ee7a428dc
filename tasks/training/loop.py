"""A training loop of a fixed number of gradient steps: seeded per step, resumable at a checkpoint, with curves and averaged weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from core import atomic
from core.context import Context
from core.errors import InvalidValueError

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_EVERY_S = 30.0
CURVE_POINTS = 400
"""Most points of a curve that is written; see :func:`thinned`."""
REPORT_EVERY = 25
"""Steps between two reports of the curves; each reports the mean over that many steps."""

Schedule = Callable[[int], float]
"""Learning rate by step."""


def warm_cosine(rate: float, steps: int) -> Schedule:
    """Return the house's schedule: linear warm-up over 3 %, then a cosine down to 5 %."""
    warm = max(1, round(0.03 * steps))
    return lambda step: rate * min(1.0, (step + 1) / warm) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def inverse(rate: float, inverse_gamma: float = 1e6, power: float = 0.5, warmup: float = 0.99) -> Schedule:
    """Return stable-audio-tools' InverseLR: (1 − warmup^(step+1)) · rate · (1 + step / inverse_gamma)^−power."""
    return lambda step: (1 - warmup ** (step + 1)) * rate * (1 + step / inverse_gamma) ** -power


class Loop:
    """Runs the steps; every batch hangs on (seed, stream, step), so a resumed run equals an uninterrupted one.

    Args:
        context: where progress and metrics go.
        phase: name of the phase; begins the names of its metrics.
        steps: gradient steps.
        parameters: what is trained.
        schedule: learning rate by step.
        seed: of batches and noise.
        stream: 0 or 1: phases of one training that must not draw the same numbers have different ones.
        betas: AdamW's.
        weight_decay: AdamW's; with 0 it is Adam.
        clip_norm: longest gradient; None leaves it as it is.
        fused: use torch's one-kernel AdamW (CPU and CUDA); None leaves the choice to torch.
    """

    def __init__(
        self,
        context: Context,
        phase: str,
        steps: int,
        parameters: Iterable[torch.nn.Parameter],
        schedule: Schedule,
        seed: int,
        stream: int,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 1e-3,
        clip_norm: float | None = 1.0,
        fused: bool | None = None,
    ) -> None:
        self.context, self.phase, self.steps, self.seed, self.stream, self.schedule = context, phase, steps, seed, stream, schedule
        self.parameters, self.clip_norm = list(parameters), clip_norm
        self.optimizer = torch.optim.AdamW(self.parameters, lr=schedule(0), betas=betas, weight_decay=weight_decay, fused=fused)
        self.curves: dict[str, list[float]] = {"loss": []}

    @property
    def losses(self) -> list[float]:
        """Loss of every step so far."""
        return self.curves["loss"]

    def record(self, name: str, value: float) -> None:
        """Add this step's value of a curve besides the loss; call it once per step for every such curve."""
        self.curves.setdefault(name, []).append(value)

    def run(
        self, start: int, loss_of: Callable[[torch.Generator], torch.Tensor], after: Callable[[int], None], save: Callable[[int], None]
    ) -> None:
        """Step from ``start`` to the end; ``after(step)`` runs after each step, ``save(next step)`` writes a checkpoint now and then.

        Raises:
            InvalidValueError: the loss is no longer finite.
        """
        saved = time.monotonic()
        for step in range(start, self.steps):
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step * 2 + self.stream)
            torch.manual_seed(self.seed * 7_919 + step)  # the library draws its dropout masks from the global generator
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule(step)
            loss = loss_of(generator)
            self.losses.append(float(loss.detach()))
            if not math.isfinite(self.losses[-1]):
                hint = "a lower learning rate may help"
                raise InvalidValueError(
                    f"the {self.phase} loss broke down at step {step}", where="training", allowed="a finite loss",
                    received=self.losses[-1], hint=hint,
                )  # fmt: skip
            self.optimizer.zero_grad()
            loss.backward()
            if self.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
            self.optimizer.step()
            after(step)
            self._report(step)
            if time.monotonic() - saved > CHECKPOINT_EVERY_S:
                save(step + 1)
                saved = time.monotonic()

    def _report(self, step: int) -> None:
        self.context.progress(step + 1, self.steps, f"{self.phase} steps")
        if (step + 1) % REPORT_EVERY == 0:
            for name, values in self.curves.items():
                last = values[-REPORT_EVERY:]
                self.context.metric(f"{self.phase}_{name}", sum(last) / len(last), step + 1)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"optimizer": self.optimizer.state_dict(), "curves": self.curves}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.curves = {name: list(values) for name, values in state["curves"].items()}


def thinned(values: list[float]) -> list[list[float]]:
    """Return a curve as [step, value], averaged over blocks of steps where it is long; a point stands at its block's last step."""
    size = -(-len(values) // CURVE_POINTS)
    blocks = [(start, values[start : start + size]) for start in range(0, len(values), size)]
    return [[start + len(block), sum(block) / len(block)] for start, block in blocks]


class AveragedWeights:
    """Exponential moving average of parameters, with a decay that grows from 0.1 to its full value over the first steps."""

    def __init__(self, trained: dict[str, torch.nn.Parameter], decay: float) -> None:
        self.trained, self.decay = trained, decay
        self.values = {name: part.detach().clone() for name, part in trained.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters as they are after ``step``."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, part in self.trained.items():
            self.values[name].lerp_(part.detach(), 1 - decay)

    def restore(self, values: dict[str, torch.Tensor]) -> None:
        """Go on from a checkpoint."""
        self.values = {name: values[name].to(part.device) for name, part in self.trained.items()}

    @torch.no_grad()
    def apply(self) -> None:
        """Make the parameters their averages."""
        for name, part in self.trained.items():
            part.copy_(self.values[name])


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    with atomic.replacing(folder / CHECKPOINT) as temporary:
        torch.save(state, temporary)


def load_checkpoint(folder: Path, wanted: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Return the checkpoint of an interrupted run, tensors and plain values only; None where there is none.

    Args:
        folder: where it may be.
        wanted: what it must hold, to be of this very training.

    Raises:
        InvalidValueError: it is of another training.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    state = dict(torch.load(path, weights_only=True, map_location="cpu"))
    found = {name: state.get(name) for name in wanted or {}}
    if wanted and found != wanted:
        hint = "remove the file to start afresh"
        raise InvalidValueError("a checkpoint of another training", where=str(path), allowed=wanted, received=found, hint=hint)
    return state
