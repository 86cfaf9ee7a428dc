"""The optimisation: seeded steps, a look at held-out clips every epoch, the best weights kept, a checkpoint to resume at."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.context import Context
from tasks.train_vae.clips import Clips, Rows
from tasks.train_vae.looking import Look, look
from tasks.train_vae.recipe import Pace
from tasks.train_vae.spec import Request
from tasks.training.loop import Loop, load_checkpoint, save_checkpoint
from tasks.vae_models.network import VAEDeep
from tasks.vae_models.objectives.base import Objective

ADAM = (0.9, 0.999)
ORDER_STREAM, LOOK_STREAM = 1 << 40, 1 << 41
"""Added to the seeds of the epochs' orders and of the looks' noise, so that they are not those of the steps."""
LEAST_KL_NATS = 0.1
"""A KL below this after the warm-up raises the alarm."""


@dataclass
class Progress:
    """What a checkpoint keeps besides network, objective and optimizers."""

    looks: dict[str, list[list[float]]] = field(default_factory=dict)
    """Curves over the epochs: name → [step, value]."""
    best_loss: float = float("inf")
    best_step: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)
    alarm_step: int = 0
    """First look after the warm-up that found a collapse; 0: none."""


class Trainee:
    """One training: what is trained, on what, and how far it is."""

    def __init__(self, request: Request, pace: Pace, model: VAEDeep, objective: Objective, clips: Clips, context: Context) -> None:
        self.request, self.pace, self.model, self.objective, self.clips, self.context = request, pace, model, objective, clips, context
        fused = torch.device(context.device).type in ("cpu", "cuda")
        rate, seed = request.settings.learning_rate, request.seed
        self.loop = Loop(
            context, request.method, pace.steps, model.parameters(), lambda step: rate, seed, stream=0, betas=ADAM, weight_decay=0.0,
            clip_norm=None, fused=fused,
        )  # fmt: skip
        self.progress = Progress()
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        self._values: dict[str, Tensor] = {}

    def train(self) -> None:
        """Train to the end, or go on from a checkpoint; leaves the kept weights in the network."""
        start = self._resume()
        self.model.train()
        self.loop.run(start, self._loss, self._after, self._save)
        if not self.request.settings.legacy:
            self.model.load_state_dict(self.progress.weights)
        self.model.eval()

    def _rows(self, step: int) -> Tensor:
        """Return the rows of a step's batch: every epoch goes through all clips in an order of its own."""
        epoch, number = divmod(step, self.pace.batches)
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(ORDER_STREAM + self.request.seed * 1_000_003 + epoch)
            self._order = (epoch, torch.randperm(len(self.clips.train), generator=generator))
        return self._order[1][number * self.pace.batch_clips : (number + 1) * self.pace.batch_clips]

    def _loss(self, generator: torch.Generator) -> Tensor:
        step = len(self.loop.losses)
        features = self.clips.train.batch(self._rows(step))
        terms = self.objective(self.model, features, generator, self.pace.weight(step))
        self._values = terms.values
        return terms.loss

    def _after(self, step: int) -> None:
        numbers = torch.stack([value.to(torch.float32).cpu() for value in self._values.values()]).tolist()
        for name, value in {**dict(zip(self._values, numbers, strict=True)), **self.objective.after_step()}.items():
            self.loop.record(name, value)
        if (step + 1) % self.pace.batches == 0:
            self._look(step + 1)

    def _look(self, done: int) -> None:
        """Look at held-out clips, keep the weights when they are the best so far, and raise the alarm when the codes say nothing."""
        watched = self.watched()
        generator = torch.Generator().manual_seed(LOOK_STREAM + self.request.seed)  # the same noise at every look
        found = look(self.model, self.objective, watched, self.pace.batch_clips, generator)
        self._note(found, done)
        ramped, last = done >= self.pace.ramp_steps, done == self.pace.steps
        better = (ramped and found.loss < self.progress.best_loss) if len(self.clips.val) else last
        if better or self.request.settings.legacy or (last and not self.progress.weights):
            self.progress.best_loss, self.progress.best_step = found.loss, done
            self.progress.weights = copy.deepcopy(self.model.state_dict())
        if ramped and collapsed(found.kl, found.active_units) and not self.progress.alarm_step:
            self.progress.alarm_step = done
            self.context.log(
                f"collapse: after {done} steps the codes say next to nothing (KL {found.kl:.3f} nats, {found.active_units} active units); "
                "a smaller sigma or beta, or a longer warm-up, may help"
            )

    def watched(self) -> Rows:
        """Return the clips that looks are taken at: validation clips, or training clips where there are none."""
        return self.clips.val if len(self.clips.val) else self.clips.train

    def _note(self, found: Look, done: int) -> None:
        values = {"total_correlation": found.total_correlation, "mutual_information": found.mutual_information, "look_kl": found.kl}
        values |= {"active_units": float(found.active_units)}
        if len(self.clips.val):
            values |= {"val_loss": found.loss, "val_reconstruction": found.reconstruction}
        for name, value in values.items():
            self.progress.looks.setdefault(name, []).append([done, value])
            self.context.metric(f"{self.request.method}_{name}", value, done)

    def _identity(self) -> dict[str, Any]:
        return {"method": self.request.method, "seed": self.request.seed, "digest": self.clips.digest, "config": self.model.config}

    def _save(self, step: int) -> None:
        state = {
            **self._identity(), "step": step, "loop": self.loop.state(), "model": self.model.state_dict(),
            "objective": self.objective.state_dict(), "optimizer": self.objective.optimizer_state(), "progress": vars(self.progress),
        }  # fmt: skip
        save_checkpoint(self.context.output, state)

    def _resume(self) -> int:
        """Return the step to go on from.

        Raises:
            InvalidValueError: the checkpoint is of another training.
        """
        state = load_checkpoint(self.context.output, self._identity())
        if state is None:
            return 0
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        self.objective.restore_optimizer(state["optimizer"])
        self.loop.restore(state["loop"])
        self.progress = Progress(**state["progress"])
        self.context.log(f"resumed at step {state['step']}")
        return int(state["step"])


def collapsed(kl_nats: float, active: int) -> bool:
    """Whether the codes say next to nothing about the clips."""
    return active == 0 or kl_nats < LEAST_KL_NATS
