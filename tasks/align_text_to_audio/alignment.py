"""The training: which weights change, in which phases, by which loss."""

from __future__ import annotations

from typing import Any

import torch

from core.context import Context
from tasks.align_text_to_audio import denoiser
from tasks.align_text_to_audio.clips import Data
from tasks.align_text_to_audio.dpo_loss import implicit_accuracy, margins, preference_loss
from tasks.align_text_to_audio.spec import Settings
from tasks.text_to_audio import adapters
from tasks.text_to_audio.model import TextToAudio
from tasks.training.loop import AveragedWeights, Loop, inverse, load_checkpoint, save_checkpoint, warm_cosine

Curves = dict[str, dict[str, list[float]]]
"""Values of every step, by phase and name."""


class Alignment:
    """One alignment of a model; :meth:`run` changes the model in place."""

    def __init__(self, model: TextToAudio, data: Data, settings: Settings, context: Context) -> None:
        self.model, self.data, self.settings, self.context = model, data, settings, context
        self.trained = self._choose()
        """The weights that change, by their full names; no others have gradients."""
        self.reference: dict[str, torch.Tensor] = {}
        """What these weights were when DPO began. All others are shared, so with adapters the reference costs next to nothing."""

    def _choose(self) -> dict[str, torch.nn.Parameter]:
        """Freeze the model but for the weights to train, adding adapters where they are asked for and not there yet."""
        model, settings = self.model.model, self.settings
        model.eval().requires_grad_(False)
        if settings.tune == "adapters":
            if not adapters.trained_parameters(model):
                adapters.install(model, settings.adapter_tokens, settings.seed)
                self.model.config[adapters.CONFIG_KEY] = {"tokens": settings.adapter_tokens}
            trained = adapters.trained_parameters(model)
        else:
            trained = {name: part for name, part in model.named_parameters() if name.startswith(denoiser.PREFIX)}
        for part in trained.values():
            part.requires_grad_(True)
        return trained

    def run(self) -> Curves:
        """Run the phases, resuming at a checkpoint; leaves the averaged weights in the model."""
        settings = self.settings
        phases = {"erm": settings.steps} if settings.method == "erm" else {"sft": settings.sft_steps, "dpo": settings.steps}
        checkpoint = load_checkpoint(self.context.output) or {"phase": "", "done": {}}
        done: Curves = checkpoint["done"]
        for phase, steps in phases.items():
            if steps and phase not in done:
                done[phase] = self._run_phase(phase, steps, done, checkpoint if checkpoint["phase"] == phase else None)
        return done

    def _run_phase(self, phase: str, steps: int, done: Curves, checkpoint: dict[str, Any] | None) -> dict[str, list[float]]:
        """Train one phase, from its beginning or from a checkpoint of it; return its curves."""
        settings, trained = self.settings, self.trained
        rate = settings.sft_learning_rate if phase == "sft" else settings.learning_rate
        schedule = warm_cosine(rate, steps) if settings.schedule == "cosine" else inverse(rate)
        averaged = AveragedWeights(trained, settings.ema_decay)
        loop = Loop(self.context, phase, steps, trained.values(), schedule, settings.seed, int(phase == "dpo"), (0.9, 0.999), 1e-3)
        if phase == "dpo":
            self.reference = {name: part.detach().clone() for name, part in trained.items()}
        if checkpoint:
            _copy(checkpoint["trained"], trained)
            _copy(checkpoint["reference"], self.reference)
            averaged.restore(checkpoint["averaged"])
            loop.restore(checkpoint["loop"])

        def save(step: int) -> None:
            weights = {"trained": {name: part.detach() for name, part in trained.items()}, "reference": self.reference}
            state = {"phase": phase, "step": step, "done": done, "loop": loop.state(), "averaged": averaged.values}
            save_checkpoint(self.context.output, state | weights)

        def loss_of(generator: torch.Generator) -> torch.Tensor:
            return self.preference_step(generator, loop) if phase == "dpo" else self.plain_step(generator)

        loop.run(int(checkpoint["step"]) if checkpoint else 0, loss_of, averaged.update, save)
        averaged.apply()
        return loop.curves

    def plain_step(self, generator: torch.Generator) -> torch.Tensor:
        """Return the ordinary diffusion loss of a batch of gold clips, each with one of its captions."""
        model, data, settings = self.model, self.data, self.settings
        rows = torch.randint(len(data.gold), (settings.batch_pairs,), generator=generator).tolist()
        choice = torch.rand(len(rows), generator=generator).tolist()
        prompts = [data.gold_captions[row][int(part * len(data.gold_captions[row]))] for row, part in zip(rows, choice, strict=True)]
        latents = data.latents[[data.gold[row] for row in rows]]
        drawn = denoiser.draw(model, latents, settings, generator)
        inputs = denoiser.conditions(model, prompts, [data.gold_seconds[row] for row in rows], latents.device, 1)
        return denoiser.losses(model, latents, drawn, inputs, recompute=settings.recompute_activations).mean()

    def preference_step(self, generator: torch.Generator, loop: Loop) -> torch.Tensor:
        """Return DPO's loss of a batch of pairs, and record its curves.

        Winners and losers go through the model as one batch, with the same times, noise and dropped prompts.
        """
        model, data, settings = self.model, self.data, self.settings
        rows = torch.randint(len(data.winners), (settings.batch_pairs,), generator=generator).tolist()
        latents = data.latents[[data.winners[row] for row in rows] + [data.losers[row] for row in rows]]
        drawn = denoiser.draw(model, latents[: len(rows)], settings, generator).doubled()
        prompts, seconds = [data.prompts[row] for row in rows], [data.seconds[row] for row in rows]
        inputs = denoiser.conditions(model, prompts, seconds, latents.device, 2)
        with torch.no_grad():
            before = denoiser.losses(model, latents, drawn, inputs, self.reference)
        now = denoiser.losses(model, latents, drawn, inputs, recompute=settings.recompute_activations)
        margin = margins(now, before, settings.beta)
        loop.record("implicit_accuracy", implicit_accuracy(margin.detach()))
        loop.record("margin", float(margin.detach().mean()))
        for name, values, start in zip(("winner", "loser"), now.detach().chunk(2), before.chunk(2), strict=True):
            loop.record(f"{name}_loss", float(values.mean()))
            loop.record(f"{name}_loss_change", float((values - start).mean()))
        return preference_loss(margin) + settings.winner_loss_weight * now[: len(rows)].mean()


@torch.no_grad()
def _copy(source: dict[str, torch.Tensor], target: dict[str, Any]) -> None:
    for name, part in target.items():
        part.copy_(source[name])
