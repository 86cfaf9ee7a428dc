"""Samples a batch in which every clip has noise of its own, so that a clip never depends on what it was batched with.

``generate_diffusion_cond`` of stable-audio-tools seeds a whole batch with one number, prints, and switches TF32 off for the process;
its samplers are called directly instead.
"""

from __future__ import annotations

import contextlib
import io

import torch
from stable_audio_tools.inference.sampling import sample_k, sample_rf

from tasks.generate.spec import Settings
from tasks.text_to_audio.model import TextToAudio

STOCHASTIC = ("dpmpp-2m-sde", "dpmpp-3m-sde", "k-dpmpp-2s-ancestral", "pingpong")
"""Samplers that draw fresh noise from the global generator; they are run one clip at a time."""


def chosen_sampler(settings: Settings, objective: str) -> str:
    """Return the sampler's name in stable-audio-tools."""
    if settings.sampler != "auto":
        return settings.sampler
    return "v-ddim" if objective == "v" else "euler"


def initial_noise(seed: int, channels: int, frames: int) -> torch.Tensor:
    """Return one clip's noise [channels, frames], drawn on the CPU so that it is the same on every device."""
    return torch.randn(channels, frames, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def sample(
    model: TextToAudio,
    prompts: list[str],
    seconds: list[float],
    seeds: list[int],
    starts: torch.Tensor | None,
    settings: Settings,
    device: str,
) -> torch.Tensor:
    """Return latents [batch, channels, frames].

    Args:
        model: the loaded model, on ``device``.
        prompts: one per clip.
        seconds: durations told to the model.
        seeds: one per clip.
        starts: latents of the gold clips, or None to start from noise.
        settings: sampler, steps, guidance, noise level.
        device: where the model is.
    """
    if starts is not None and settings.init_noise_level == 0:
        return starts  # the samplers would divide by their first σ
    wrapped = model.model
    sampler = chosen_sampler(settings, wrapped.diffusion_objective)
    if sampler in STOCHASTIC and len(prompts) > 1:
        parts = [
            sample(model, [prompts[i]], [seconds[i]], [seeds[i]], None if starts is None else starts[i : i + 1], settings, device)
            for i in range(len(prompts))
        ]
        return torch.cat(parts)
    torch.manual_seed(seeds[0])
    noise = torch.stack([initial_noise(seed, wrapped.io_channels, model.latent_frames) for seed in seeds]).to(device)
    inputs = wrapped.get_conditioning_inputs(model.conditioning(prompts, seconds, device))
    common = {"init_data": starts, "steps": settings.steps, "sampler_type": sampler, "device": device}
    common |= {"cfg_scale": settings.cfg_scale, "batch_cfg": True, **inputs}
    with contextlib.redirect_stderr(io.StringIO()):  # the samplers draw progress bars
        if wrapped.diffusion_objective == "v":
            k_diffusion = not sampler.startswith("v-")
            highest = settings.init_noise_level if starts is not None else 100.0 if k_diffusion else 1.0
            return sample_k(wrapped.model, noise, sigma_max=highest, **common)
        return sample_rf(wrapped.model, noise, sigma_max=settings.init_noise_level if starts is not None else 1.0, **common)
