"""The optimisation: seeded steps, looks at re-rendered validation sounds, the best weights, a checkpoint to resume at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.context import Context
from core.contract import to_dict
from tasks.preset_encoders.encoder import PresetEncoder
from tasks.preset_encoders.schedules import warmed
from tasks.presets import hand_crafted
from tasks.presets.layout import Layout
from tasks.presets.parameters import Values
from tasks.sound_matching import estimator as estimators
from tasks.sound_matching.audio_distances import MEAN, AudioDistances, compare
from tasks.sound_matching.decoding import exact
from tasks.sound_matching.estimator import Estimator
from tasks.sound_matching.examples import Sounds
from tasks.sound_matching.losses import parameter_loss, proxy_loss, weights
from tasks.sound_matching.preset_scores import preset_scores
from tasks.sound_matching.recipes import Plan
from tasks.sound_matching.rerendering import Studio, circumstances
from tasks.training.loop import Loop, load_checkpoint, save_checkpoint
from tasks.training.weights import save_weights

WEIGHTS = "weights"
"""Folder of the weights that were kept: ``best.pt``."""
ORDER_STREAM = 1 << 41
"""Added to the seeds of the epochs' orders, so that they are not those of the steps."""
BLOCK = 64
"""Sounds that are heard at once at a look. Fixed, so that scores do not hang on a batch size."""


@dataclass
class Progress:
    """What a checkpoint keeps besides weights and optimiser."""

    looks: dict[str, list[list[float]]] = field(default_factory=dict)
    """Curves over the looks: name → [step, value]."""
    best: float = math.inf
    """Score of the best weights, lower is better."""
    best_step: int = 0
    """Step of the same."""


@torch.no_grad()
def estimate(network: Estimator, sounds: Sounds) -> Tensor:
    """Return the outputs [sounds, width] for all of some sounds, on the CPU."""
    training = network.training
    network.eval()
    parts = [network(sounds.levels(places)).float().cpu() for places in torch.arange(len(sounds)).split(BLOCK)]
    network.train(training)
    return torch.cat(parts)


class Trainee:
    """One training.

    Args:
        plan: what is done.
        network: what is trained.
        train: on what.
        val: held-out sounds.
        proxy: stands for synthesiser and ear; needed unless only presets are compared.
        studio: plays presets at looks; none: the loss selects.
        seed: of weights and orders.
        context: where progress, metrics and files go.
        identity: plain values that a checkpoint must share, besides plan and seed.
    """

    def __init__(
        self, plan: Plan, network: Estimator, train: Sounds, val: Sounds, proxy: PresetEncoder | None, studio: Studio | None, seed: int,
        context: Context, identity: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.plan, self.network, self.train_sounds, self.val, self.proxy, self.studio = plan, network, train, val, proxy, studio
        self.seed, self.context = seed, context
        self.layout: Layout = train.set.layout
        self.identity = {"plan": to_dict(plan), "seed": seed, **identity}
        self.plateau = plan.plateau()
        self.schedule = warmed(self.plateau, round(plan.warm_up_share * plan.steps))
        self.loop = Loop(
            context, "matcher", plan.steps, network.parameters(), self.schedule, seed, 0, plan.betas, plan.weight_decay, clip_norm=None
        )
        self.progress = Progress()
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        self._looked = self._chosen()
        self._wanted: list[npt.NDArray[np.float32]] = []
        self._distances = AudioDistances(int(val.set.meta["sample_rate_hz"])).to(context.device)

    def _chosen(self) -> list[int]:
        """Return the places of the validation sounds that are re-rendered; a sound's choice hangs on its preset."""
        values = np.asarray(self.val.set.parameters[self.val.rows])
        most = len(values) if self.plan.val_sounds < 0 else min(self.plan.val_sounds, len(values))
        if self.studio is None or not most:
            return []
        chosen = hand_crafted.splits(values, 0, most / len(values))
        return [place for place, split in enumerate(chosen) if split == "test"]

    def train(self) -> None:
        """Train to the end, or go on from a checkpoint.

        Raises:
            InvalidValueError: the loss is no longer finite, or a checkpoint of another training is there.
        """
        start = self._resume()
        if not start:
            self.network.set_normalisation(*self.train_sounds.statistics())
        self.network.train()
        self.loop.run(start, self._loss, self._after, self._save)
        self.network.eval()

    def _rows(self, step: int) -> Tensor:
        """Return the places of a step's batch: every epoch goes through the sounds in an order of its own."""
        epoch, number = divmod(step, self.plan.epoch_steps)
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(ORDER_STREAM + self.seed * 1_000_003 + epoch)
            self._order = (epoch, torch.randperm(len(self.train_sounds), generator=generator))
        return self._order[1][number * self.plan.batch : (number + 1) * self.plan.batch]

    def _loss(self, _: torch.Generator) -> Tensor:
        plan, step = self.plan, len(self.loop.losses)
        places = self._rows(step)
        outputs = self.network(self.train_sounds.levels(places)).float()
        first, second = weights(plan.schedule, plan.audio_first, step / plan.steps)
        parts = parameter_loss(outputs, self.train_sounds.presets(places), self.layout, plan.smoothing)
        total = parts.total(plan.category_weight)
        self.loop.record("parameter_loss", float(total.detach()))
        self.loop.record("parameter_weight", first)
        loss = first * total
        if self.proxy is not None and plan.schedule != "parameters":
            # Worked out from the beginning, also while it does not count yet: its curve shows what the other loss does to it.
            with torch.set_grad_enabled(second > 0):
                heard = proxy_loss(outputs, self.train_sounds.embeddings(places), self.proxy, self.layout, plan.relaxation)
            self.loop.record("proxy_loss", float(heard.detach()))
            self.loop.record("proxy_weight", second * plan.proxy_weight)
            if second > 0:
                loss = loss + second * plan.proxy_weight * heard
        return loss

    def _after(self, step: int) -> None:
        self.loop.record("learning_rate", self.schedule(step))
        if self.plan.looks_at(step + 1):
            self._note(self.look(), step + 1)

    def look(self) -> dict[str, float]:
        """Return how the network does on the validation sounds: losses, preset scores, and distances of re-rendered sounds."""
        outputs = estimate(self.network, self.val)
        every = torch.arange(len(self.val))
        wanted = self.val.presets(every).cpu()
        parts = parameter_loss(outputs, wanted, self.layout)
        told = {"parameter_loss": float(parts.total(self.plan.category_weight))}
        if self.proxy is not None:
            told["proxy_loss"] = self._proxy_loss(outputs)
        presets = exact(outputs, self.layout)
        told |= {name: float(values.mean()) for name, values in preset_scores(presets, wanted.numpy(), self.layout).items()}
        return told | self._heard(presets)

    @torch.no_grad()
    def _proxy_loss(self, outputs: Tensor) -> float:
        """Return the proxy's loss of decided presets, mean over the validation sounds."""
        assert self.proxy is not None
        total = 0.0
        for places in torch.arange(len(self.val)).split(BLOCK):
            part = outputs[places].to(self.context.device)
            found = proxy_loss(part, self.val.embeddings(places), self.proxy, self.layout, "hard")
            total += float(found) * len(places)
        return total / len(self.val)

    def _heard(self, presets: Values) -> dict[str, float]:
        """Return the mean distances of the chosen validation sounds and what their estimated presets sound like."""
        if self.studio is None or not self._looked:
            return {}
        if not self._wanted:
            self._wanted = right_sounds(self.val, self._looked, self.studio)
        notes = self.val.notes()
        found = [sound for sound, _ in self.studio.render(presets[self._looked], [notes[place] for place in self._looked])]
        told = [one for one in compare(self._distances, found, self._wanted) if one is not None]
        if not told:
            self.context.log("none of the estimated presets could be played")
            return {}
        return {name: float(np.mean([one[name] for one in told])) for name in told[0]}

    def _note(self, found: dict[str, float], done: int) -> None:
        for name, value in found.items():
            self.progress.looks.setdefault(f"val_{name}", []).append([done, value])
            self.context.metric(f"matcher_val_{name}", value, done)
        score = found.get(MEAN, math.inf) if self._looked else found["parameter_loss"] + found.get("proxy_loss", 0.0)
        self.plateau.look(score, done)
        if score < self.progress.best or not self.progress.best_step:
            self.progress.best, self.progress.best_step = score, done
            # Not yet what is handed out: the checkpoint says which weights are best.
            save_weights(self.best, self.network.state_dict(), {"step": done})

    @property
    def best(self) -> Path:
        """File of the best weights so far."""
        return self.context.output / WEIGHTS / "best.pt"

    def finish(self, about: Mapping[str, Any]) -> None:
        """Take the best weights, and write them with all that is needed to use them."""
        state = torch.load(self.best, weights_only=True, map_location=self.context.device)["state"]
        self.network.load_state_dict(state)
        made = circumstances(self.train_sounds.set.meta)
        estimators.save(self.context.output / estimators.MODEL, self.network, self.layout.spec, made, about)

    def _save(self, step: int) -> None:
        state = {**self.identity, "step": step, "loop": self.loop.state(), "network": self.network.state_dict()}
        save_checkpoint(self.context.output, {**state, "progress": vars(self.progress), "plateau": self.plateau.state()})

    def _resume(self) -> int:
        """Return the step to go on from."""
        state = load_checkpoint(self.context.output, self.identity)
        if state is None:
            return 0
        self.network.load_state_dict(state["network"])
        self.loop.restore(state["loop"])
        self.progress = Progress(**state["progress"])
        self.plateau.restore(state["plateau"])
        self.context.log(f"resumed at step {state['step']}")
        return int(state["step"])


def right_sounds(sounds: Sounds, places: list[int], studio: Studio) -> list[npt.NDArray[np.float32]]:
    """Return the sounds [T] at some places: as they were kept, rendered again where they were not.

    Raises:
        RuntimeError: a preset of the set cannot be played any more.
    """
    kept = {place: sounds.sound(place) for place in places}
    missing = [place for place, sound in kept.items() if sound is None]
    if missing:
        notes = sounds.notes()
        presets = np.asarray(sounds.set.parameters[sounds.rows[missing]])
        for place, (sound, reason) in zip(missing, studio.render(presets, [notes[k] for k in missing]), strict=True):
            if sound is None:
                raise RuntimeError(f"row {sounds.rows[place]} of {sounds.set.folder} cannot be played any more: {reason}")
            kept[place] = sound
    return [sound for sound in kept.values() if sound is not None]
