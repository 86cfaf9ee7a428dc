"""Samples a batch in which every clip has noise of its own, so that a clip never depends on what it was batched with.

``generate_diffusion_cond`` of stable-audio-tools seeds a whole batch with one number, prints, and switches TF32 off for the process, and
its stochastic samplers draw from the global generator. Its steps, and k-diffusion's, are called directly instead.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

import k_diffusion
import torch
from stable_audio_tools.inference import sampling as library

from core.errors import InvalidValueError
from tasks.generate.spec import Settings
from tasks.text_to_audio.model import TextToAudio

K_STEPS = {
    "dpmpp-2m": "sample_dpmpp_2m", "dpmpp-2m-sde": "sample_dpmpp_2m_sde", "dpmpp-3m-sde": "sample_dpmpp_3m_sde", "k-heun": "sample_heun",
    "k-lms": "sample_lms", "k-dpmpp-2s-ancestral": "sample_dpmpp_2s_ancestral",
}  # fmt: skip
"""k-diffusion's functions; their noise levels are σ, and the noised start is z + σ·ε."""
STOCHASTIC = ("dpmpp-2m-sde", "dpmpp-3m-sde", "k-dpmpp-2s-ancestral")
"""Those of them that add fresh noise on the way."""
V_SAMPLERS = ("v-ddim", "v-ddim-cfgpp")
FLOW_SAMPLERS = ("euler", "rk4", "dpmpp", "pingpong")
SIGMA_MIN, SIGMA_MAX = 0.01, 100.0
"""Of k-diffusion's schedule, as in stable-audio-tools."""


def chosen_sampler(settings: Settings, objective: str) -> str:
    """Return the sampler's name in stable-audio-tools.

    Raises:
        InvalidValueError: the sampler does not fit the objective, or the noise level does not fit the sampler.
    """
    fitting = (*V_SAMPLERS, *K_STEPS) if objective == "v" else FLOW_SAMPLERS
    sampler = fitting[0] if settings.sampler == "auto" else settings.sampler
    if sampler not in fitting:
        raise InvalidValueError(f"does not fit the objective {objective}", where="generate.sampler", allowed=fitting, received=sampler)
    highest = SIGMA_MAX if sampler in K_STEPS else 1.0
    if settings.initialize_audio and settings.init_noise_level > highest and sampler not in K_STEPS:
        hint = f"{sampler} counts noise from 0 (none) to 1 (nothing else); k-diffusion's σ go with dpmpp-* and k-* of a v model"
        raise InvalidValueError(
            "out of range", where="generate.init_noise_level", allowed="0 … 1", received=settings.init_noise_level, hint=hint
        )
    return sampler


class ClipNoise:
    """Draws each clip's noise from a generator of its own, on the CPU, so that it is the same on every device and in every batch.

    It stands in for k-diffusion's Brownian tree: those samplers ask once for each interval between two steps, and increments of a
    Brownian motion over intervals that do not overlap, normalised, are independent standard normal numbers.
    """

    def __init__(self, seeds: Sequence[int], channels: int, frames: int, device: str) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._shape, self._device = (channels, frames), device

    def __call__(self, sigma: Any = None, sigma_next: Any = None) -> torch.Tensor:
        """Return the next noise [batch, channels, frames]; the levels k-diffusion passes do not matter to it."""
        return torch.stack([torch.randn(self._shape, generator=generator) for generator in self._generators]).to(self._device)


def starting_point(noise: torch.Tensor, starts: torch.Tensor | None, level: float, sampler: str) -> tuple[torch.Tensor, float]:
    """Return what the sampler starts from [batch, channels, frames], and its noise level in the sampler's units.

    k-diffusion: z + σ·ε. v-ddim: cos(πt/2)·z + sin(πt/2)·ε. Rectified flow: (1 − t)·z + t·ε (section 6 of the Synthio specification).

    Args:
        noise: ε, [batch, channels, frames].
        starts: latents z of the gold clips, or None for pure noise.
        level: σ or t, ignored for pure noise.
        sampler: one of stable-audio-tools' names.
    """
    if sampler in K_STEPS:
        highest = SIGMA_MAX if starts is None else level
        return noise * highest if starts is None else starts + noise * highest, highest
    if starts is None:
        return noise, 1.0
    if sampler in V_SAMPLERS:
        return starts * math.cos(math.pi * level / 2) + noise * math.sin(math.pi * level / 2), level
    return starts * (1 - level) + noise * level, level


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
    wrapped = model.model
    sampler, level = chosen_sampler(settings, wrapped.diffusion_objective), settings.init_noise_level
    if starts is not None and level <= (SIGMA_MIN if sampler in K_STEPS else 0.0):
        return starts  # no noise to take away; the samplers would divide by their first level
    noises = ClipNoise(seeds, wrapped.io_channels, model.latent_frames, device)
    x, highest = starting_point(noises(), starts, level, sampler)
    arguments = {
        "cfg_scale": settings.cfg_scale,
        "batch_cfg": True,
        **wrapped.get_conditioning_inputs(model.conditioning(prompts, seconds, device)),
    }
    if settings.negative_prompt:
        against = model.conditioning([settings.negative_prompt] * len(prompts), seconds, device)
        arguments |= wrapped.get_conditioning_inputs(against, negative=True)
    with contextlib.redirect_stderr(io.StringIO()):  # v-ddim draws a progress bar there that cannot be switched off
        if sampler in K_STEPS:
            return _k_diffusion(wrapped.model, x, highest, sampler, settings.steps, noises, arguments)
        if sampler in V_SAMPLERS:
            return library.sample(wrapped.model, x, settings.steps, 0.0, sigma_max=highest, cfg_pp=sampler == "v-ddim-cfgpp", **arguments)
        return _flow(wrapped, x, highest, sampler, settings.steps, noises, arguments)


def _k_diffusion(
    denoiser: torch.nn.Module, x: torch.Tensor, highest: float, sampler: str, steps: int, noises: ClipNoise, arguments: dict[str, Any]
) -> torch.Tensor:
    """Run one of k-diffusion's samplers on stable-audio-tools' schedule of noise levels."""
    sigmas = k_diffusion.sampling.get_sigmas_polyexponential(steps, SIGMA_MIN, highest, rho=1.0, device=x.device)
    options = {"noise_sampler": noises} if sampler in STOCHASTIC else {}
    step = getattr(k_diffusion.sampling, K_STEPS[sampler])
    return step(k_diffusion.external.VDenoiser(denoiser), x, sigmas, extra_args=arguments, disable=True, **options)


def flow_times(steps: int, highest: float) -> torch.Tensor:
    """Return the times [steps + 1] from ``highest`` down to 0, evenly spaced in log signal-to-noise ratio up to 2, as the library does.

    From a level below 0.12, whose ratio is above 2 already, the library's schedule would first climb; ours goes on two units further.
    """
    begin = math.log((1 - highest) / highest + 1e-6) if highest < 1 else -6.0
    times = torch.sigmoid(-torch.linspace(begin, 2.0 if begin < 2 else begin + 2, steps + 1))
    times[0], times[-1] = highest, 0.0
    return times


def _flow(
    wrapped: torch.nn.Module, x: torch.Tensor, highest: float, sampler: str, steps: int, noises: ClipNoise, arguments: dict[str, Any]
) -> torch.Tensor:
    """Run one of the rectified-flow samplers."""
    times = flow_times(steps, highest)
    if sampler == "euler":
        return library.sample_discrete_euler(wrapped.model, x, sigmas=times, disable_tqdm=True, **arguments)
    if sampler == "dpmpp":
        return library.sample_flow_dpmpp(wrapped.model, x, sigmas=times, disable_tqdm=True, **arguments)
    if sampler == "rk4":
        return library.sample_rk4(wrapped.model, x, steps, highest, dist_shift=wrapped.dist_shift, **arguments)
    # The library's ping-pong draws from the global generator.
    times = times.tolist()
    for now, after in itertools.pairwise(times):
        denoised = x - now * wrapped.model(x, torch.full((len(x),), now, device=x.device), **arguments)
        x = (1 - after) * denoised + after * noises()
    return x
