"""The two diffusion objectives: how a latent is noised, and what the model is to predict."""

from __future__ import annotations

import math

import torch

from core.errors import InvalidValueError

OBJECTIVES = ("v", "rectified_flow")


def noised_and_target(objective: str, latents: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the noised latents and the prediction target, both [batch, channels, frames].

    v (Salimans & Ho, 2022, as in stable-audio-tools): z_t = cos(πt/2)·z + sin(πt/2)·ε, target cos·ε − sin·z.
    Rectified flow (Liu et al., 2022): z_t = (1−t)·z + t·ε, target ε − z.

    Args:
        objective: ``v`` or ``rectified_flow``.
        latents: z, [batch, channels, frames].
        t: times from 0 (clean) to 1 (noise), [batch].
        noise: ε, of the latents' shape.

    Raises:
        InvalidValueError: an objective that is neither.
    """
    if objective == "v":
        alpha, sigma = torch.cos(t * math.pi / 2)[:, None, None], torch.sin(t * math.pi / 2)[:, None, None]
        return alpha * latents + sigma * noise, alpha * noise - sigma * latents
    if objective == "rectified_flow":
        return (1 - t[:, None, None]) * latents + t[:, None, None] * noise, noise - latents
    raise InvalidValueError("cannot be trained", where="diffusion_objective", allowed=OBJECTIVES, received=objective)
