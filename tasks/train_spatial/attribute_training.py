"""Pre-training of the spatial branch alone, on what can be measured of each RIR; the published recipe for Spatial LibriSpeech."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import atomic
from core.context import Context
from core.contract import build, to_dict
from tasks.spatial_model import attributes
from tasks.spatial_model.directions import as_vectors, great_circle_deg
from tasks.spatial_model.embedding import ROWS
from tasks.spatial_model.intensity_branch import SpatialBranch
from tasks.spatial_model.network import weights
from tasks.spatial_model.scenes import FrontEnd, block
from tasks.spatial_model.sizes import to_plain
from tasks.spatial_model.sources import Sources
from tasks.spatial_model.spaces import Spaces
from tasks.train_spatial import building, recipe
from tasks.train_spatial.batches import Batches
from tasks.train_spatial.lamb import Lamb
from tasks.train_spatial.loop import ScaledLoop
from tasks.train_spatial.spec import Request, Result
from tasks.train_spatial.training import FORMATS
from tasks.training.distributed import broadcast_json, broadcast_model, is_main, mean_over_ranks, world
from tasks.training.dropout import expect_batch, replace_dropout
from tasks.training.loop import CHECKPOINT, load_checkpoint, save_checkpoint, thinned

FILE = "branch.pt"
PHASE = "attributes"


class Pretraining:
    """One training of the branch."""

    def __init__(self, request: Request, plan: recipe.Plan, material: building.Material, context: Context) -> None:
        self.request, self.plan, self.material, self.context = request, plan, material, context
        torch.manual_seed(request.seed)
        self.branch = SpatialBranch(plan.sizes)
        if world() > 1:
            replace_dropout(self.branch)
            building.share_batch_norm(self.branch)
        self.branch.to(context.device)
        self.front = FrontEnd(plan.sizes).to(context.device)
        self.batches = Batches(*material.train, plan, request.seed, context.device, request.settings.workers)
        optimizer = Lamb(self.branch.parameters(), plan.learning_rate, weight_decay=request.settings.weight_decay)
        settings = request.settings
        self.loop = ScaledLoop(
            context, PHASE, plan.steps, optimizer, plan.rate_at, request.seed, settings.accumulate, plan.precision == "float16",
            settings.clip_norm,
        )  # fmt: skip
        self._known: dict[tuple[str, int], Any] = {}
        found = np.stack([self._measured(material.train[1], number) for number in range(len(material.train[1]))])
        with np.errstate(invalid="ignore"):
            known = np.isfinite(found).any(0)
            safe = np.where(known, found, 0.0)
            self.mean, deviation = np.nanmean(safe, 0), np.nanstd(safe, 0)
        self.sd = np.where(deviation > 0, deviation, 1.0)
        self.mean[: attributes.ANGLES], self.sd[: attributes.ANGLES] = 0.0, 1.0

    def _measured(self, spaces: Spaces, number: int) -> Any:
        key = (spaces.split, number)
        if key not in self._known:
            self._known[key] = attributes.of_space(spaces, number)
        return self._known[key]

    def targets(self, spaces: Spaces, number: int) -> Tensor:
        """Return a response's attributes [44], z-scored but for the angles."""
        return torch.from_numpy((self._measured(spaces, number) - self.mean) / self.sd).float()

    def train(self) -> None:
        """Train to the end, or go on from a checkpoint."""
        broadcast_model(self.branch)
        state = load_checkpoint(self.context.output, self._identity())
        start = 0
        if state is not None:
            self.context.log(f"resumed at step {state['step']}")
            self.branch.load_state_dict(state["branch"])
            self.loop.restore(state["loop"])
            start = int(state["step"])
        self.branch.train()
        self.loop.go(start, self._batch, lambda step: None, self._save)
        self.branch.eval()

    def _identity(self) -> dict[str, Any]:
        return building.identity(self.request, self.material.digest)

    def _save(self, step: int) -> None:
        if is_main():
            state = {"step": step, "loop": self.loop.state(), "branch": self.branch.state_dict()}
            save_checkpoint(self.context.output, {**self._identity(), **state})

    def _batch(self, number: int) -> float:
        scenes = self.batches.scenes(number)
        targets = torch.stack([self.targets(self.material.train[1], spot) for spot in self.batches.spots(number)])
        targets = targets.repeat(len(scenes.captions) // len(targets), 1).to(self.context.device)
        targets[:, : attributes.ANGLES] = scenes.angles.to(targets)  # they turn with the room
        active, reactive, _ = self.front(scenes.foa)
        expect_batch(self.branch, len(active) * world())
        kind = torch.device(self.context.device).type
        with torch.autocast(kind, FORMATS[self.plan.precision], enabled=self.plan.precision != "float32"):
            predicted = self.branch(active, reactive)
        loss = attributes.attribute_loss(predicted.float(), targets)
        self.loop.backward(loss)
        return mean_over_ranks(float(loss.detach()), 1, world())

    @torch.no_grad()
    def look(self, sources: Sources, spaces: Spaces) -> dict[str, float]:
        """Return the median direction error in degrees, and mean absolute errors of each attribute, on validation clips and RIRs."""
        settings, found, true = self.request.settings, [], []
        spots = spaces.spread(settings.look_spaces)
        for place in sources.spread(settings.look_sources):
            wave = sources.heard(place)
            if wave is None:
                continue
            for start in range(0, len(spots), ROWS):
                part = spots[start : start + ROWS]
                foa = block(wave[None], spaces.rirs(part), spaces.delay).to(self.context.device)
                found.append(self.branch(*self.front(foa)[:2]).float().cpu().double().numpy())
                true.append(np.stack([self._measured(spaces, spot) for spot in part]))
        predicted, wanted = np.concatenate(found) * self.sd + self.mean, np.concatenate(true)
        errors = np.abs(predicted - wanted)
        values = {
            name: float(np.nanmean(errors[:, place])) for place, name in enumerate(attributes.NAMES)
            if place >= attributes.ANGLES and np.isfinite(errors[:, place]).any()
        }  # fmt: skip
        angle = great_circle_deg(as_vectors(predicted[:, : attributes.ANGLES]), as_vectors(wanted[:, : attributes.ANGLES]))
        return {"direction_deg": float(np.median(angle)), **values}


def run(request: Request, context: Context) -> Result:
    """Train the branch and write it as ``branch.pt``, with curves and what was done."""
    sizes = building.shape_of(request)
    material = building.open_material(request, sizes, context)
    sources, spaces = material.train
    plan = recipe.plan(request.settings, len(sources), len(spaces), sizes, context.device)
    training = Pretraining(request, plan, material, context)
    training.train()
    looked = training.look(*material.val) if material.val is not None and is_main() else {}
    last = training.loop.losses[-plan.epoch_steps :]
    result = Result(
        weights=weights(training.branch),
        steps=plan.steps,
        updates=training.loop.updates,
        best_step=plan.steps,
        train_clips=len(sources),
        train_rirs=len(spaces),
        unreadable=len(sources.unreadable),
        loss=sum(last) / len(last),
        val_direction_deg=looked.get("direction_deg"),
    )
    found = broadcast_json(to_dict(result) if is_main() else None)
    if is_main():
        state = {name: part.cpu() for name, part in training.branch.state_dict().items()}
        with atomic.replacing(context.output / FILE) as temporary:
            torch.save(state, temporary)
        curves = {name: thinned(values) for name, values in training.loop.curves.items()}
        atomic.write_json(context.output / "curves.json", curves)
        about = {"val": looked, "attributes": list(attributes.NAMES), "mean": training.mean.tolist(), "sd": training.sd.tolist()}
        about |= {"sizes": to_plain(sizes), "settings": to_dict(request.settings), "seed": request.seed}
        atomic.write_json(context.output / "training.json", {**found, **about})
        (context.output / CHECKPOINT).unlink(missing_ok=True)
    return build(Result, found)
