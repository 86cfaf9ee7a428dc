"""Train a small text-to-audio latent diffusion model on captioned synthetic sounds, and on captioned gold clips where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError

STAGE = Stage(
    name="train_text_to_audio", environment="diffusion", version=1, memory_mb=3000, time_limit_s=24 * 3600, cpu_threads=2, uses_gpu=True
)


@dataclass(frozen=True)
class Settings:
    """Model and training; the defaults fit two CPU cores."""

    pretrained: str = external_path(default="")
    """A model of stable-audio-tools, used as it is: a folder with model_config.json and model.safetensors (or a .ckpt), or a hub name such
    as ``stabilityai/stable-audio-open-1.0``, with ``@commit`` to pin it, from the hub cache (HF_HOME). Nothing is trained then."""
    objective: Literal["v", "rectified_flow"] = "v"
    """Diffusion objective."""
    latent_dim: int = 64
    """Latent channels; the embedded autoencoder starts from as many principal components of two log-mel frames."""
    width: int = 192
    """Width of the diffusion transformer; a multiple of 64."""
    depth: int = 4
    """Its layers."""
    autoencoder_steps: int = 40
    """Gradient steps of the autoencoder, after its start from principal components."""
    diffusion_steps: int = 650
    """Gradient steps of the diffusion model."""
    batch_clips: int = 16
    """Clips per step."""
    gold_fraction: float = 0.5
    """Share of gold clips in a batch where there are any; the rest are captioned synthetic sounds."""
    autoencoder_rate: float = 1e-5
    """Peak learning rate of the autoencoder; larger ones undo the linear start."""
    diffusion_rate: float = 1e-3
    """Peak learning rate of the diffusion model."""
    kl_weight: float = 1e-3
    """Weight of the latents' KL divergence from a unit Gaussian, per latent value."""
    cfg_dropout: float = 0.1
    """Share of prompts dropped, for classifier-free guidance."""
    ema_decay: float = 0.995
    """Decay of the averaged weights that are exported."""
    max_canvas_s: float = 10.0
    """Longest sound; the canvas is at most this."""
    canvas_s: float = 0.0
    """Length of the canvas, whatever the clips' lengths; a model that hears no gold clip is then the same model when the dataset changes.
    0: as long as the longest train clip."""
    seed: int = 0
    """Seed of weights, batches, noise and dropout."""

    def __post_init__(self) -> None:
        check_range("train_text_to_audio.width", self.width, 64, 4096)
        check_range("train_text_to_audio.width % 64", self.width % 64, 0, 0)
        check_range("train_text_to_audio.gold_fraction", self.gold_fraction, 0.0, 1.0)
        check_range("train_text_to_audio.ema_decay", self.ema_decay, 0.0, 0.99999)
        check_range("train_text_to_audio.canvas_s", self.canvas_s, 0.0, self.max_canvas_s)
        check_range("train_text_to_audio.latent_dim", self.latent_dim, 1, 256)
        for name in ("autoencoder_steps", "diffusion_steps", "batch_clips", "depth", "latent_dim"):
            check_range(f"train_text_to_audio.{name}", getattr(self, name), 1, 10_000_000)


@dataclass(frozen=True)
class Request:
    """One model."""

    gold: str
    """Folder of captioned gold clips to train on as well; empty: the model hears no gold clip, which makes it one for all draws."""
    pretraining: str
    """Folder of the captioned synthetic sounds."""
    settings: Settings = Settings()
    """Model and training."""
    lengths: str = ""
    """Folder of a dataset whose longest train clip sets the canvas; empty: the longest gold clip does."""

    def __post_init__(self) -> None:
        if not (self.gold or self.lengths or self.settings.pretrained or self.settings.canvas_s):
            allowed = "a folder of gold clips, or lengths, which says how long sounds shall be"
            raise InvalidValueError("missing", where="train_text_to_audio.gold", allowed=allowed, received="")


@dataclass(frozen=True)
class Result:
    """What was trained."""

    gold_clips: int
    """Gold clips trained on."""
    pretraining_clips: int
    """Synthetic sounds trained on."""
    parameters: int
    """Weights of the whole model."""
    autoencoder_error: float
    """Mean absolute log-mel error of the autoencoder over the gold clips, without any over all, in nepers."""
    diffusion_loss: float
    """Mean loss over the last tenth of the diffusion steps."""
    canvas_s: float
    """Longest sound the model makes."""
