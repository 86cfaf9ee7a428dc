"""Generate N clips per gold clip from its captions, from pure noise or starting at the gold clip's noised latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(
    name="generate", environment="diffusion", version=1, memory_mb=3000, time_limit_s=24 * 3600, cpu_threads=1, uses_gpu=True, sharded=True,
    row_inputs=("clips", "gold", "pool"),
)  # fmt: skip

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
    init_mix: float = 0.0
    """Share of the start, in time, that comes from a second gold clip of the same class, in stretches with smooth random boundaries."""
    init_roll: bool = False
    """Shift the start in time by a random amount, around the end; the second clip of ``init_mix`` by another."""
    init_speed: float = 0.0
    """Play the start faster or slower by a random factor from 1 / (1 + this) to 1 + this: pitch and tempo change together, as on tape."""
    init_tilt_db: float = 0.0
    """Standard deviation of a random smooth filter over the start, in dB at five places of the spectrum: another microphone or distance."""
    init_pool: float = 0.0
    """Share of the clips that start from a clip of the request's ``pool`` with their label instead of from their gold clip: what the gold
    clips do not hold must come from elsewhere. Labels that the pool lacks start from gold clips."""
    detail: Literal["generated", "start"] = "generated"
    """Where phase and fine structure come from. ``generated``: the model alone, by Griffin-Lim or its own decoder. ``start``: what the
    model changed is laid over the start as a filter that varies in time and frequency, so that the decoder loses nothing recorded."""
    negative_prompt: str = ""
    """What guidance leads away from; empty: from no prompt at all."""
    steps: int = 30
    """Sampling steps."""
    cfg_scale: float = 3.0
    """Strength of classifier-free guidance."""
    sampler: Sampler = "auto"
    """``auto``: v-ddim for the v objective, euler for rectified flow."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the transformer computes in; ``auto``: bfloat16 on a GPU, float32 on a CPU."""
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
        check_range("generate.init_mix", self.init_mix, 0.0, 0.95)
        check_range("generate.cfg_scale", self.cfg_scale, 0.0, 100.0)
        check_range("generate.batch_size", self.batch_size, 1, 4096)
        check_range("generate.init_pool", self.init_pool, 0.0, 1.0)
        check_range("generate.init_speed", self.init_speed, 0.0, 1.0)
        check_range("generate.init_tilt_db", self.init_tilt_db, 0.0, 24.0)
        variations = [name for name in ("init_mix", "init_roll", "init_speed", "init_tilt_db", "init_pool") if getattr(self, name)]
        if variations and not self.initialize_audio:
            hint = "set initialize_audio=true: without it there is no start to vary"
            raise InvalidValueError("has no effect", where=f"generate.{', '.join(variations)}", received=variations, hint=hint)
        if self.detail == "start" and not self.initialize_audio:
            hint = "set initialize_audio=true: without it there is no start to take the detail from"
            raise InvalidValueError("has no effect", where="generate.detail", allowed="generated", received=self.detail, hint=hint)
        if self.negative_prompt and self.cfg_scale == 1.0:
            hint = "guidance is off at cfg_scale=1; choose another scale"
            raise InvalidValueError("has no effect", where="generate.negative_prompt", received=self.negative_prompt, hint=hint)


@dataclass(frozen=True)
class Request:
    """One set of generated clips."""

    clips: str
    """Folder of the captioned gold clips; in a later round, of those whose clips were rejected, with their revised captions."""
    model: str
    """Folder of the text-to-audio model."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""
    settings: Settings = Settings()
    """How to sample."""
    round: int = 0
    """Round of self-reflection; from 1 on, one clip is generated for each listed caption."""
    gold: str = ""
    """Folder of all gold clips, where ``init_mix`` looks for second clips; empty: ``clips``."""
    pool: str = ""
    """Folder of ``retrieve``: further clips with the gold clips' labels, where ``init_pool`` starts from."""

    def __post_init__(self) -> None:
        if bool(self.pool) != bool(self.settings.init_pool):
            received = {"pool": self.pool, "init_pool": self.settings.init_pool}
            raise InvalidValueError(
                "pool and share belong together", where="generate.init_pool", allowed="both or neither", received=received
            )
        check_range("generate.shards", self.shards, 1, 100_000)
        check_range("generate.round", self.round, 0, 1000)


@dataclass(frozen=True)
class Result:
    """What was generated."""

    clips: int
    """Clips generated."""
    rejected: int
    """Clips among them that are silent or not finite; they stay in the manifest with their reason."""
    seconds: float
    """Total duration."""
