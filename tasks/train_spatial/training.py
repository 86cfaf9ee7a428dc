"""The optimisation of the whole model: contrast over all ranks, looks at a validation grid, the best weights kept, a checkpoint."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from core.context import Context
from tasks.spatial_model.directions import as_vectors, great_circle_deg
from tasks.spatial_model.embedding import embed_grid
from tasks.spatial_model.losses import TERMS, Weighting, contrast, physical_loss, top_one
from tasks.spatial_model.network import SpatialTextModel
from tasks.spatial_model.scenes import FrontEnd, Scenes, space_label
from tasks.train_spatial.batches import Batches
from tasks.train_spatial.building import Material, identity
from tasks.train_spatial.gradient_cache import Outputs, cached_backward
from tasks.train_spatial.loop import ScaledLoop
from tasks.train_spatial.recipe import Plan
from tasks.train_spatial.spec import Request
from tasks.training.distributed import barrier, broadcast_model, broadcast_number, gather_with_gradient, is_main, mean_over_ranks, world
from tasks.training.dropout import expect_batch
from tasks.training.loop import CHECKPOINT, load_checkpoint, save_checkpoint

PHASE = "spatial"
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class Progress:
    """What a checkpoint keeps besides weights and optimiser."""

    looks: dict[str, list[list[float]]] = field(default_factory=dict)
    """Curves over the looks: name → [step, value]."""
    best: float = -1.0
    """Highest ``val_top1`` so far."""
    best_step: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


class Trainee:
    """One training: what is trained, on what, and how far it is."""

    def __init__(self, request: Request, plan: Plan, model: SpatialTextModel, material: Material, context: Context) -> None:
        self.request, self.plan, self.model, self.material, self.context, settings = (
            request,
            plan,
            model,
            material,
            context,
            request.settings,
        )
        self.front = FrontEnd(plan.sizes).to(context.device)
        weights = (settings.space_weight, settings.source_weight, settings.physical_weight)
        self.weighting = Weighting("learned" if settings.weights == "learned" else "fixed", weights).to(context.device)
        self.trained = torch.nn.ModuleDict({"model": model, "weighting": self.weighting})
        self.batches = Batches(*material.train, plan, request.seed, context.device, settings.workers)
        groups = [
            {"params": [part for part in model.parameters() if part.requires_grad], "weight_decay": settings.weight_decay},
            {"params": [part for part in self.weighting.parameters() if part.requires_grad], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=plan.learning_rate)
        self.loop = ScaledLoop(
            context, PHASE, plan.steps, optimizer, plan.rate_at, request.seed, settings.accumulate, plan.precision == "float16",
            settings.clip_norm,
        )  # fmt: skip
        self.progress = Progress()
        self._values: dict[str, list[float]] = {}

    def train(self) -> None:
        """Train to the end, or go on from a checkpoint; leaves the kept weights in the network."""
        broadcast_model(self.trained)
        start = self._resume()
        self.model.train()
        self.loop.go(start, self._batch, self._after, self._save)
        if self.progress.weights and is_main():
            self.model.load_state_dict(self.progress.weights)
        broadcast_model(self.model)
        self.model.eval()

    def _batch(self, number: int) -> float:
        """Do forward and backward pass of one batch; return the whole batch's loss."""
        scenes = self.batches.scenes(number)
        rows = len(scenes.captions)
        active, reactive, omni = self.front(scenes.foa)
        tokens, mask = (part.to(self.context.device) for part in self.model.tokenizer(scenes.captions))

        def encode(part: slice) -> Outputs:
            expect_batch(self.model, (part.stop - part.start) * world())
            with self._number_format():
                heard, read = self.model.hear(active[part], reactive[part], omni[part]), self.model.read(tokens[part], mask[part])
            found = (heard.space, heard.source, read.space, read.source, heard.direction, heard.quantities)
            return tuple(outputs.float() for outputs in found)

        size = self.request.settings.cache_items
        if size and size < rows:
            parts = [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
            loss = cached_backward(self.model, encode, parts, lambda outputs: self._loss(outputs, scenes), self.loop.backward)
        else:
            loss = self._loss(encode(slice(0, rows)), scenes)
            self.loop.backward(loss)
        return mean_over_ranks(float(loss.detach()), 1, world())

    def _loss(self, outputs: Outputs, scenes: Scenes) -> Tensor:
        """Return the weighted loss: contrasts of the whole batch on every rank, the physical one of this rank's rows."""
        total, device = self.plan.items, outputs[0].device
        space, source, text_space, text_source = (gather_with_gradient(part, total) for part in outputs[:4])
        labels = {name: self._gathered(getattr(scenes, name + "s")).to(device) for name in ("space", "source")}
        scales = dict(zip(("space", "source"), self.model.scales(), strict=True))
        losses = {}
        for name, audio, text in (("space", space, text_space), ("source", source, text_source)):
            weight = self.request.settings.space_weight if name == "space" else self.request.settings.source_weight
            if weight and (scenes.placed or name == "source"):
                # Without a place there is no other factor to differ in: an item's own caption is a positive like the others.
                diagonal = self.request.settings.exclude_diagonal and scenes.placed
                losses[name] = contrast(text, audio, labels[name], scales[name], diagonal)
        if self.plan.physical and scenes.placed:
            targets = self.material.statistics.scores(scenes.quantities).to(device)
            losses["physical"] = physical_loss(outputs[4], outputs[5], scenes.angles.to(device), targets)
        for name, value in losses.items():
            self._values.setdefault(name, []).append(mean_over_ranks(float(value.detach()), 1, world()))
        found: Tensor = self.weighting(losses)
        return found

    def _gathered(self, labels: Tensor) -> Tensor:
        # As numbers of 64 bits, which hold every label exactly: a rank may have put another clip in an unreadable one's place.
        if world() == 1:
            return labels
        with torch.no_grad():
            return gather_with_gradient(labels.double().to(self.context.device), self.plan.items).long()

    @contextlib.contextmanager
    def _number_format(self) -> Iterator[None]:
        kind = torch.device(self.context.device).type
        with torch.autocast(kind, FORMATS[self.plan.precision], enabled=self.plan.precision != "float32"):
            yield

    def _after(self, step: int) -> None:
        for name in TERMS:
            values, known = self._values.get(name), self.loop.curves.get(name)
            if values or known:  # a batch without places has no space and no physical loss: their curves stay where they were
                self.loop.record(name, sum(values) / len(values) if values else known[-1])  # type: ignore[index]
        self._values = {}
        for name, scale in zip(("space", "source"), self.model.scales(), strict=True):
            self.loop.record(f"scale_{name}", float(scale.detach()))
        if self.request.settings.weights == "learned":
            for name, value in zip(TERMS, self.weighting.log_variances.tolist(), strict=True):
                self.loop.record(f"log_variance_{name}", value)
        if self.material.val is not None and ((step + 1) % self.plan.look_steps == 0 or step + 1 == self.plan.steps):
            if is_main():
                self.look(step + 1)
            barrier()

    def look(self, done: int) -> None:
        """Look at the validation grid; keep the weights when they are the best so far."""
        assert self.material.val is not None
        sources, spaces = self.material.val
        settings = self.request.settings
        chosen = sources.spread(settings.look_sources), spaces.spread(settings.look_spaces)
        self.model.eval()
        grid = embed_grid(self.model, sources, spaces, chosen, self.request.seed, self.context.device)
        self.model.train()
        by_space = {spot: space_label(spaces, spot, spaces.place(spot), self.plan.space_label) for spot in chosen[1]}
        labels = {
            "source": torch.from_numpy(sources.labels(self.plan.source_label)[grid.sources]),
            "spatial": torch.tensor([by_space[int(spot)] for spot in grid.spaces]),
        }  # fmt: skip
        values = {}
        for name, own in labels.items():
            sides = [torch.from_numpy(grid.embeddings[f"{side}_{name}"]) for side in ("audio", "text")]
            values[f"val_{name}_top1"] = (top_one(sides[0], sides[1], own) + top_one(sides[1], sides[0], own)) / 2
        true = as_vectors(np.array([spaces.place(int(spot)).angles for spot in grid.spaces]))
        values["val_direction_deg"] = float(np.median(great_circle_deg(as_vectors(grid.direction), true)))
        values["val_top1"] = (values["val_source_top1"] + values["val_spatial_top1"]) / 2
        for name, value in values.items():
            self.progress.looks.setdefault(name, []).append([done, value])
            self.context.metric(f"{PHASE}_{name}", value, done)
        if values["val_top1"] > self.progress.best or settings.compat:
            self.progress.best, self.progress.best_step = values["val_top1"], done
            self.progress.weights = copy.deepcopy({name: part.cpu() for name, part in self.model.state_dict().items()})

    def at_best(self, name: str) -> float | None:
        """Return a look's value at the step whose weights were kept; None without looks."""
        return next((value for step, value in self.progress.looks.get(name, []) if step == self.progress.best_step), None)

    def _save(self, step: int) -> None:
        if is_main():
            state = {
                **identity(self.request, self.material.digest),
                "step": step,
                "loop": self.loop.state(),
                "trained": self.trained.state_dict(),
            }
            save_checkpoint(self.context.output, {**state, "progress": vars(self.progress)})

    def _resume(self) -> int:
        """Return the step to go on from.

        Raises:
            InvalidValueError: the checkpoint is of another training.
        """
        start = 0
        if broadcast_number((self.context.output / CHECKPOINT).is_file()):  # rank 0's word: all resume or none
            state = load_checkpoint(self.context.output, identity(self.request, self.material.digest))
            assert state is not None
            self.context.log(f"resumed at step {state['step']}")
            self.trained.load_state_dict(state["trained"])
            self.loop.restore(state["loop"])
            self.progress, start = Progress(**state["progress"]), int(state["step"])
        barrier()  # rank 0 writes the next checkpoint only after everyone has read this one
        return start
