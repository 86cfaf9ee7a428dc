"""How loud a scene is written, and the noise it is heard in. Every policy says the gain it used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from core.derived import clip_seed
from core.errors import InvalidValueError
from tasks.spatial.loudness import integrated

Policy = Literal["raw", "peak", "rms", "lufs"]
POLICIES: tuple[Policy, ...] = ("raw", "peak", "rms", "lufs")
HIGHEST_PEAK = 0.98
SILENCE = 1e-9
"""RMS below which a scene has no level that one could scale."""


@dataclass(frozen=True)
class Level:
    """The loudness of scenes and their noise."""

    policy: Policy = "raw"
    """``raw``: the level falls with 1/distance, which itself says how far a source is; ``peak``: the same, but a scene above 0.98 of full
    scale is turned down to it; ``rms``, ``lufs``: W is brought to the target, less where a peak would pass 0.98."""
    target_db: float = -26.0
    """dB full scale for ``rms``, LUFS (ITU-R BS.1770) for ``lufs``."""
    snr_db: tuple[float, float] | None = None
    """Range that the signal-to-noise ratio over W is drawn from, evenly in dB; None for no noise."""
    seed: int = 0
    """Of ratio and noise, with the scene's id."""


def loudness(omni: Tensor, sample_rate_hz: int) -> Tensor:
    """Return the integrated loudness in LUFS [...] of mono sound [..., T] (ITU-R BS.1770-4); −70 at the least."""
    sounds = omni.detach().cpu().numpy().reshape(-1, omni.shape[-1])
    return torch.tensor([integrated(sound, sample_rate_hz) for sound in sounds]).to(omni).reshape(omni.shape[:-1])


def gains_db(foa: Tensor, level: Level, sample_rate_hz: int) -> Tensor:
    """Return the gain in dB [...] that a policy gives scenes [..., 4, T]; 0 for silence."""
    if level.policy not in POLICIES:
        raise InvalidValueError("no such policy", where="level.policy", allowed=POLICIES, received=level.policy)
    omni = foa[..., 0, :]
    gain = torch.zeros_like(omni[..., 0])
    if level.policy == "raw":
        return gain
    if level.policy == "rms":
        gain = level.target_db - 20.0 * torch.log10(rms(omni).clamp(min=SILENCE))
    elif level.policy == "lufs":
        gain = level.target_db - loudness(omni, sample_rate_hz)
    headroom = 20.0 * torch.log10(HIGHEST_PEAK / foa.abs().amax((-2, -1)).clamp(min=SILENCE))
    return torch.where(rms(omni) > SILENCE, torch.minimum(gain, headroom), torch.zeros_like(gain))


def rms(sound: Tensor) -> Tensor:
    """Return the root mean square over the last axis."""
    return sound.square().mean(-1).sqrt()


def apply(foa: Tensor, level: Level, sample_rate_hz: int, names: list[str]) -> tuple[Tensor, list[dict[str, float]]]:
    """Mix noise in and set the level.

    Args:
        foa: scenes [N, 4, T].
        level: what to do.
        sample_rate_hz: of the scenes.
        names: the scenes' ids, which noise and ratio hang on: neither order nor batch nor device changes them.

    Returns:
        The scenes, and for each {gain_db, snr_db where there is noise}.
    """
    told: list[dict[str, float]] = [{} for _ in names]
    if level.snr_db is not None:
        noises = []
        for place, name in enumerate(names):
            noise, told[place]["snr_db"] = noise_for(foa[place], level.snr_db, clip_seed(level.seed, name, 0))
            noises.append(noise)
        foa = foa + torch.stack(noises)
    gain = gains_db(foa, level, sample_rate_hz)
    for place, value in enumerate(gain.tolist()):
        told[place]["gain_db"] = value
    return foa * (10.0 ** (gain / 20.0))[..., None, None], told


def noise_for(foa: Tensor, snr_db: tuple[float, float], seed: int) -> tuple[Tensor, float]:
    """Return diffuse white noise [4, T] for one scene, and its ratio: an even sphere of sources has dipoles a third as strong as W.

    Args:
        foa: the scene [4, T]; silence gets silence.
        snr_db: range of the ratio of RMS levels over W.
        seed: of ratio and noise; drawn on the CPU, so that every device hears the same.
    """
    rng = np.random.default_rng(seed)
    ratio = float(rng.uniform(*snr_db))
    noise = torch.from_numpy(rng.standard_normal(foa.shape, dtype=np.float32)).to(foa.device)
    noise[1:] *= 3.0**-0.5
    level = rms(foa[0]) * 10.0 ** (-ratio / 20.0) / rms(noise[0]).clamp(min=SILENCE)
    return noise * level, ratio
