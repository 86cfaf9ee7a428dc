"""What the denoiser of a text-to-audio model is asked: the squared error of every latent, with times, noise and dropped prompts given.

Dropped prompts are drawn here and not inside the library, which would draw others for the winner, the loser, the model and its reference:
that is noise in the very difference that DPO learns from. The model is in eval mode throughout, so no other dropout can come in either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from stable_audio_tools.models.transformer import ContinuousTransformer
from torch.func import functional_call

from tasks.align_text_to_audio.spec import Settings
from tasks.text_to_audio.model import TextToAudio
from tasks.text_to_audio.objective import noised_and_target

PREFIX = "model."
"""Begins the names of the denoiser's weights within the whole model."""


@dataclass(frozen=True)
class Draw:
    """The random part of a step: one entry per pair (or clip)."""

    t: torch.Tensor
    """Diffusion times, [batch]."""
    noise: torch.Tensor
    """[batch, channels, frames]."""
    dropped: torch.Tensor
    """Whether the prompt is dropped, [batch]."""

    def doubled(self) -> Draw:
        """Return the same for winners and losers one after the other."""
        return Draw(*(torch.cat([part, part]) for part in (self.t, self.noise, self.dropped)))


def draw(model: TextToAudio, like: torch.Tensor, settings: Settings, generator: torch.Generator) -> Draw:
    """Return times, noise and dropped prompts for latents like ``like`` [batch, channels, frames]; on the CPU, so alike on every device."""
    t = torch.rand(len(like), generator=generator)
    if settings.timesteps == "logit_normal":
        t = torch.sigmoid(torch.randn(len(like), generator=generator))
    shift = model.model.dist_shift  # part of some pretrained models' configuration
    if shift is not None:
        t = shift.time_shift(t, like.shape[2])
    noise = torch.randn(like.shape, generator=generator)
    dropped = torch.rand(len(like), generator=generator) < settings.cfg_dropout
    return Draw(t.to(like.device), noise.to(like.device), dropped.to(like.device))


@torch.no_grad()
def conditions(model: TextToAudio, prompts: list[str], seconds: list[float], device: torch.device, copies: int) -> dict[str, Any]:
    """Return the denoiser's conditioning inputs, ``copies`` times one after the other; the encoders are frozen."""
    inputs = model.model.get_conditioning_inputs(model.conditioning(prompts, seconds, str(device)))
    return {name: None if part is None else torch.cat([part] * copies) for name, part in inputs.items()}


def losses(
    model: TextToAudio,
    latents: torch.Tensor,
    drawn: Draw,
    inputs: dict[str, Any],
    weights: dict[str, torch.Tensor] | None = None,
    recompute: bool = False,
) -> torch.Tensor:
    """Return every latent's squared error averaged over channels and frames, [batch].

    Args:
        model: the model.
        latents: [batch, channels, frames].
        drawn: times, noise and dropped prompts of the batch.
        inputs: conditioning of the batch.
        weights: weights to use in place of the model's own of those names (names of the whole model).
        recompute: trade time for memory.
    """
    noised, target = noised_and_target(model.model.diffusion_objective, latents, drawn.t, drawn.noise)
    inputs = dict(inputs)
    for name in ("cross_attn_cond", "prepend_cond"):  # the library's null prompt is zeros
        if inputs.get(name) is not None:
            inputs[name] = inputs[name].masked_fill(drawn.dropped[:, None, None], 0.0)
    denoiser = model.model.model
    if any(isinstance(part, ContinuousTransformer) for part in denoiser.modules()):
        inputs["use_checkpointing"] = recompute
    named = {name.removeprefix(PREFIX): part for name, part in (weights or {}).items()}
    predicted = functional_call(denoiser, named, (noised, drawn.t), inputs)
    return ((predicted - target) ** 2).mean(dim=(1, 2))
