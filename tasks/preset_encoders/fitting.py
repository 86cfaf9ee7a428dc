"""The optimisation: seeded steps, looks at held-out presets several times an epoch, the best weights, a checkpoint to resume at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.context import Context
from tasks.matmul import number_format
from tasks.preset_encoders import encoder as encoders
from tasks.preset_encoders.encoder import PresetEncoder
from tasks.preset_encoders.examples import Splits
from tasks.preset_encoders.inference import embed_examples
from tasks.preset_encoders.protocols import rank_validation, rankings
from tasks.preset_encoders.ranking import Distance
from tasks.preset_encoders.recipes import Plan, identity
from tasks.training.loop import Loop, load_checkpoint, save_checkpoint

WEIGHTS = "weights"
"""Folder of the weights that were kept: ``last``, ``best_loss``, ``best_mrr``, ``epoch_0005`` …"""
ORDER_STREAM = 1 << 40
"""Added to the seeds of the epochs' orders, so that they are not those of the steps."""
RANKING_SEED = 0
"""Of the validation's rankings: the same ones for every encoder and seed, so that their scores compare."""
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": torch.nn.functional.l1_loss, "mse": torch.nn.functional.mse_loss}
DISTANCES: dict[str, Distance] = {"l1": "l1", "mse": "l2"}
"""What is near in rankings, by the loss that was trained with."""


@dataclass(frozen=True)
class Look:
    """What was seen of held-out presets."""

    loss: float
    """The loss, exact mean over the presets."""
    l1: float
    """Mean absolute error in the audio model's own units."""
    mrr: float
    """Mean reciprocal rank, distances between normalised embeddings."""


@dataclass
class Progress:
    """What a checkpoint keeps besides weights and optimiser."""

    looks: dict[str, list[list[float]]] = field(default_factory=dict)
    """Curves over the looks: name → [step, value]."""
    best: dict[str, float] = field(default_factory=dict)
    """``loss`` and ``mrr`` of the best weights."""
    best_step: dict[str, int] = field(default_factory=dict)
    """Steps of the same."""


class Trainee:
    """One training.

    Args:
        plan: what is done.
        encoder: what is trained.
        splits: on what.
        seed: of weights and orders.
        context: where progress, metrics and files go.
        about: plain values kept beside saved weights.
        keep: write weights and checkpoints; a search, whose trainings are short and many, does not.
    """

    def __init__(
        self, plan: Plan, encoder: PresetEncoder, splits: Splits, seed: int, context: Context, about: dict[str, Any], keep: bool = True
    ) -> None:
        self.plan, self.encoder, self.splits, self.seed, self.context, self.about, self.keep = (
            plan, encoder, splits, seed, context, about, keep
        )  # fmt: skip
        self.schedule, self.plateau = plan.rates()
        parameters = list(encoder.parameters())
        clip = plan.clip_norm or None
        self.loop = Loop(context, plan.model, plan.steps, parameters, self.schedule, seed, stream=0, clip_norm=clip)
        fused = torch.device(context.device).type in ("cpu", "cuda")
        self.loop.optimizer = torch.optim.AdamW(
            parameters, lr=self.schedule(0), betas=plan.betas, eps=plan.eps, weight_decay=plan.weight_decay, fused=fused
        )
        self.progress = Progress()
        self.members = rankings(len(splits.val), plan.rankings, plan.candidates, RANKING_SEED)
        self.watch: Callable[[Look, int], None] | None = None
        """Called after every look with the steps done; a search stops trainings from here."""
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def train(self) -> None:
        """Train to the end, or go on from a checkpoint.

        Raises:
            InvalidValueError: the loss or the embeddings are no longer finite, or a checkpoint of another training is there.
        """
        start = self._resume() if self.keep else 0
        self.encoder.train()
        self.loop.run(start, self._loss, self._after, self._save if self.keep else lambda step: None)
        self.encoder.eval()

    def _rows(self, step: int) -> Tensor:
        """Return the places of a step's batch: every epoch goes through the presets in an order of its own."""
        epoch, number = divmod(step, self.plan.epoch_steps)
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(ORDER_STREAM + self.seed * 1_000_003 + epoch)
            self._order = (epoch, torch.randperm(len(self.splits.train), generator=generator))
        return self._order[1][number * self.plan.batch : (number + 1) * self.plan.batch]

    def _loss(self, _: torch.Generator) -> Tensor:
        step = len(self.loop.losses)
        presets, audio = self.splits.train.batch(self._rows(step))
        with number_format(self.context.device, self.plan.precision):
            found = self.encoder.normal(presets)
        return LOSSES[self.plan.loss](found, self.encoder.normalised(audio))

    def _after(self, step: int) -> None:
        done = step + 1
        self.loop.record("learning_rate", self.schedule(step))
        if self.plan.looks_at(done):
            self._note(self.look(), done)
        epoch, left = divmod(done, self.plan.epoch_steps)
        if self.keep and not left:
            self._keep("last")
            if self.plan.keep_epochs and epoch % self.plan.keep_epochs == 0:
                self._keep(f"epoch_{epoch:04d}")

    def look(self) -> Look:
        """Return how the encoder does on the held-out presets, in float32."""
        found, heard = (torch.cat(parts) for parts in zip(*embed_examples(self.encoder, self.splits.val), strict=True))
        loss = LOSSES[self.plan.loss](found.double(), heard.double())
        l1 = ((found - heard) * self.encoder.spread).double().abs().mean()
        mrr = rank_validation(found, heard, self.members, DISTANCES[self.plan.loss]).reciprocal().mean()
        return Look(float(loss), float(l1), float(mrr))

    def _note(self, found: Look, done: int) -> None:
        for name, value in vars(found).items():
            self.progress.looks.setdefault(f"val_{name}", []).append([done, value])
            self.context.metric(f"{self.plan.model}_val_{name}", value, done)
        if self.plateau is not None:
            self.plateau.look(found.loss, done)
        for name, value, better in (("loss", found.loss, min), ("mrr", found.mrr, max)):
            best = self.progress.best.get(name)
            if best is None or (value != best and better(value, best) == value):
                self.progress.best[name], self.progress.best_step[name] = value, done
                self._keep(f"best_{name}")
        if self.watch is not None:
            self.watch(found, done)

    def _keep(self, name: str) -> None:
        if self.keep:
            about = {**self.about, "step": len(self.loop.losses)}
            encoders.save(self.weights(name), self.encoder, self.splits.presets.spec, about)

    def weights(self, name: str) -> Path:
        """Return the file of kept weights."""
        return self.context.output / WEIGHTS / f"{name}.pt"

    def _identity(self) -> dict[str, Any]:
        return {"plan": identity(self.plan), "seed": self.seed, "digests": list(self.splits.digests)}

    def _save(self, step: int) -> None:
        state = {**self._identity(), "step": step, "loop": self.loop.state(), "encoder": self.encoder.state_dict()}
        state |= {"progress": vars(self.progress), "plateau": self.plateau.state() if self.plateau else {}}
        save_checkpoint(self.context.output, state)

    def _resume(self) -> int:
        """Return the step to go on from."""
        state = load_checkpoint(self.context.output, self._identity())
        if state is None:
            return 0
        self.encoder.load_state_dict(state["encoder"])
        self.loop.restore(state["loop"])
        self.progress = Progress(**state["progress"])
        if self.plateau is not None:
            self.plateau.restore(state["plateau"])
        self.context.log(f"resumed at step {state['step']}")
        return int(state["step"])
