"""The optimisation: seeded steps over pairs, looks at held-out pairs, the collapse alarm, a checkpoint to resume at."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from core import audio
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.contrastive import encoder as encoders
from tasks.contrastive import losses
from tasks.contrastive.encoder import Encoder
from tasks.matmul import number_format
from tasks.train_contrastive import recipe, recording, transforms
from tasks.train_contrastive.passes import Views
from tasks.train_contrastive.recipe import Plan
from tasks.train_contrastive.sources import Source, generator
from tasks.train_contrastive.spec import Request
from tasks.training.distributed import (
    average_gradients,
    barrier,
    bounds,
    broadcast_model,
    broadcast_number,
    gather_with_gradient,
    is_main,
    mean_over_ranks,
    world,
)
from tasks.training.loop import CHECKPOINT, Loop, load_checkpoint, save_checkpoint

LEAST_UNIFORM, LEAST_SPREAD = -0.1, 0.1
"""A uniformity above, or a spread below, says that embeddings are nearly one."""
PHASE = "contrastive"


@dataclass
class Progress:
    """What a checkpoint keeps besides weights and optimiser."""

    looks: dict[str, list[list[float]]] = field(default_factory=dict)
    """Curves over the looks: name → [step, value]."""
    alarm_step: int = 0
    """First look after the warm-up that found a collapse; 0: none."""


class Projection(nn.Sequential):
    """Two layers between embedding and loss (Chen et al., 2020), for the training only; sees the rows of all ranks."""

    def __init__(self, dimensions: int, width: int) -> None:
        super().__init__(nn.Linear(dimensions, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True), nn.Linear(width, width))


class Trainee:
    """One training: what is trained, on what, and how far it is."""

    def __init__(self, request: Request, plan: Plan, source: Source, context: Context) -> None:
        self.request, self.plan, self.source, self.context, settings = request, plan, source, context, request.settings
        torch.manual_seed(request.seed)
        self.encoder = Encoder(
            settings.front_end, settings.sample_rate_hz, settings.dimensions, settings.channels, plan.width, settings.embedding
        )
        head = Projection(settings.dimensions, settings.projection) if settings.projection else nn.Identity()
        self.trained = nn.ModuleDict({"network": self.encoder.network, "head": head}).to(context.device)
        self.encoder.to(context.device, memory_format=torch.channels_last)
        self.loss_of = recipe.loss(settings)
        self.responses: list[audio.Samples] = transforms.impulse_responses(settings.impulse_responses, settings.sample_rate_hz)
        parameters = list(self.trained.parameters())
        self.loop = Loop(context, PHASE, plan.steps, parameters, plan.rate_at, request.seed, stream=0, clip_norm=None)
        self.loop.optimizer = recipe.optimizer(plan, parameters)
        batch = plan.batch_pairs
        # Behind backward and before the step, whatever the loop does in between.
        self.loop.optimizer.register_step_pre_hook(lambda *_: average_gradients(parameters, batch // world(), batch))
        self.progress = Progress()
        self._seconds = [0.0, 0.0]

    def train(self) -> None:
        """Train to the end, or go on from a checkpoint."""
        broadcast_model(self.trained)
        start = self._resume()
        self.trained.train()
        began = time.monotonic()
        self.loop.run(start, self._loss, self._after, self._save)
        if self.plan.steps > start and is_main():
            self._seconds[1] = time.monotonic() - began
            done = (self.plan.steps - start) * self.plan.batch_pairs
            self.context.metric("pairs_per_s", done / self._seconds[1], self.plan.steps)
            self.context.metric("source_share", self._seconds[0] / self._seconds[1], self.plan.steps)
        self.trained.eval()

    def _loss(self, _: torch.Generator) -> Tensor:
        step = len(self.loop.losses)
        began = time.monotonic()
        start, stop = bounds(self.plan.batch_pairs)
        whole = self.source.keys(step, self.plan.batch_pairs)
        keys = whole[start:stop]
        views = self.source.views(keys)
        if self.context.device == "cuda":
            torch.cuda.synchronize()
        self._seconds[0] += time.monotonic() - began
        first, second = (self._gathered(part) for part in self.embeddings(views, keys))
        with torch.no_grad():
            self._record(views, len(keys), first, second)
        loss: Tensor = self.loss_of(self.trained["head"](first), self.trained["head"](second), self.source.groups(whole))
        return loss

    def embeddings(self, views: Views, keys: list[int]) -> tuple[Tensor, Tensor]:
        """Return the network's outputs for both views [pairs, dimensions] in float32, each view in a batch of its own, as published."""
        settings, found = self.request.settings, []
        for number, sounds in enumerate((views.first, views.second)):
            sounds = sounds.to(self.context.device)
            generators = []
            if settings.transform != "none":
                generators = [generator(self.request.seed, "alter", self.source.identity(key), number) for key in keys]
            if settings.transform == "audiomentations":
                sounds = transforms.alter_waveforms(sounds, settings.sample_rate_hz, self.responses, generators)
            with torch.no_grad():
                features = self.encoder.features(sounds)
            if settings.transform == "recording":
                features = recording.recorded_anew(features, self.encoder.features.offset, generators)
            if settings.transform in transforms.MASKS:
                features = transforms.mask(features, settings.transform, generators)
            with number_format(self.context.device, self.plan.precision):
                found.append(self.encoder.network(features))
        return found[0].float(), found[1].float()

    def _gathered(self, own: Tensor) -> Tensor:
        return gather_with_gradient(own, self.plan.batch_pairs)

    def _record(self, views: Views, own: int, first: Tensor, second: Tensor) -> None:
        settings = self.request.settings
        close, even = losses.align_and_uniform(first, second, settings.align_alpha, settings.uniform_t)
        self.loop.record("align", float(close))
        self.loop.record("uniform", float(even))
        if views.saturation is not None:
            self.loop.record("saturation", mean_over_ranks(views.saturation, own, self.plan.batch_pairs))

    def _after(self, step: int) -> None:
        epoch, left = divmod(step + 1, self.plan.epoch_steps)
        if left:
            return
        last = epoch == self.plan.epochs
        if is_main() and (last or epoch % self.plan.look_epochs == 0):
            self.look(step + 1)
        if is_main() and self.plan.keep_epochs and epoch % self.plan.keep_epochs == 0:
            about = {"step": step + 1, "seed": self.request.seed}
            encoders.save(self.context.output / "epochs" / f"{epoch:04d}", self.encoder, about)

    @torch.no_grad()
    def look(self, done: int) -> None:
        """Look at held-out pairs in evaluation mode; raise the alarm when all embeddings are nearly one."""
        self.trained.eval()
        settings, sums, pairs = self.request.settings, torch.zeros(3, dtype=torch.float64), 0
        for batch in range(self.plan.look_batches):
            keys = self.source.held_out(batch, self.plan.batch_pairs)
            if len(keys) < 2:
                break
            first, second = self.embeddings(self.source.views(keys), keys)
            close, even = losses.align_and_uniform(first, second, settings.align_alpha, settings.uniform_t)
            sums += len(keys) * torch.tensor([float(close), float(even), losses.relative_spread(first)], dtype=torch.float64)
            pairs += len(keys)
        self.trained.train()
        if not pairs:
            return
        found = dict(zip(("val_align", "val_uniform", "val_spread"), (sums / pairs).tolist(), strict=True))
        for name, value in found.items():
            self.progress.looks.setdefault(name, []).append([done, value])
            self.context.metric(f"{PHASE}_{name}", value, done)
        if done >= self.plan.warm_up_steps and collapsed(found["val_uniform"], found["val_spread"]) and not self.progress.alarm_step:
            self.progress.alarm_step = done
            self.context.log(
                f"collapse: after {done} steps all embeddings are nearly one (uniformity {found['val_uniform']:.3f}, spread "
                f"{found['val_spread']:.3f}); a larger uniform_weight, a lower learning rate or larger batches may help"
            )

    def last_look(self, name: str, otherwise: float) -> float:
        """Return the last value of a curve over the looks."""
        curve = self.progress.looks.get(name, [])
        return curve[-1][1] if curve else otherwise

    def _identity(self) -> dict[str, Any]:
        settings = {name: value for name, value in to_dict(self.request.settings).items() if name != "num_devices"}
        return {"seed": self.request.seed, "digest": self.source.digest, "settings": settings}

    def _save(self, step: int) -> None:
        if is_main():
            state = {**self._identity(), "step": step, "loop": self.loop.state(), "trained": self.trained.state_dict()}
            save_checkpoint(self.context.output, {**state, "progress": vars(self.progress)})

    def _resume(self) -> int:
        """Return the step to go on from.

        Raises:
            InvalidValueError: the checkpoint is of another training, or not here while rank 0 has one.
        """
        start = 0
        if broadcast_number((self.context.output / CHECKPOINT).is_file()):  # rank 0's word: all resume or none
            state = load_checkpoint(self.context.output, self._identity())
            if state is None:
                where, allowed = str(self.context.output / CHECKPOINT), "rank 0's checkpoint, in a folder that all ranks share"
                raise InvalidValueError("nothing to go on from", where=where, allowed=allowed, received="none")
            self.trained.load_state_dict(state["trained"])
            self.loop.restore(state["loop"])
            self.progress, start = Progress(**state["progress"]), int(state["step"])
            self.context.log(f"resumed at step {start}")
        barrier()  # rank 0 writes the next checkpoint only after everyone has read this one
        return start


def collapsed(uniform: float, spread: float) -> bool:
    """Whether embeddings are nearly one."""
    return uniform > LEAST_UNIFORM or spread < LEAST_SPREAD
