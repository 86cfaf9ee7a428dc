"""Generate N clips per gold clip from its captions, from pure noise or starting at the gold clip's noised latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, runtime_setting

STAGE = Stage(
    name="generate", environment="diffusion", version=1, memory_mb=3000, time_limit_s=24 * 3600, cpu_threads=1, uses_gpu=True, sharded=True
)

Sampler = Literal[
    "auto", "v-ddim", "v-ddim-cfgpp", "dpmpp-2m", "dpmpp-2m-sde", "dpmpp-3m-sde", "k-heun", "k-lms", "k-dpmpp-2s-ancestral", "euler", "rk4",
    "dpmpp", "pingpong",
]  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How to sample."""

    num_iters: int = 2
    """Clips generated per gold clip (the paper's N)."""
    initialize_audio: bool = False
    """Start from the gold clip's latent instead of pure noise."""
    init_noise_level: float = 0.5
    """How much noise that start gets, in the sampler's own units: 0 … 1 for v-ddim and rectified flow, a k-diffusion σ for the others."""
    steps: int = 30
    """Sampling steps."""
    cfg_scale: float = 3.0
    """Strength of classifier-free guidance."""
    sampler: Sampler = "auto"
    """``auto``: v-ddim for the v objective, euler for rectified flow."""
    seed: int = 0
    """Every clip's seed is derived from this, its gold clip and its iteration."""
    match_level: bool = True
    """Give a clip the RMS level of its gold clip; otherwise it keeps the level it was generated with."""
    batch_size: int = runtime_setting(default=8)
    """Clips sampled at a time; does not change them."""

    def __post_init__(self) -> None:
        check_range("generate.num_iters", self.num_iters, 1, 1000)
        check_range("generate.steps", self.steps, 1, 10_000)
        check_range("generate.init_noise_level", self.init_noise_level, 0.0, 1000.0)
        check_range("generate.cfg_scale", self.cfg_scale, 0.0, 100.0)
        check_range("generate.batch_size", self.batch_size, 1, 4096)


@dataclass(frozen=True)
class Request:
    """One set of generated clips."""

    clips: str
    """Folder of the captioned gold clips."""
    model: str
    """Folder of the text-to-audio model."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""
    settings: Settings = Settings()
    """How to sample."""

    def __post_init__(self) -> None:
        check_range("generate.shards", self.shards, 1, 100_000)


@dataclass(frozen=True)
class Result:
    """What was generated."""

    clips: int
    """Clips generated."""
    rejected: int
    """Clips among them that are silent or not finite; they stay in the manifest with their reason."""
    seconds: float
    """Total duration."""
