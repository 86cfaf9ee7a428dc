"""Builds, saves and loads the text-to-audio model; a model folder holds ``model_config.json`` and ``model.safetensors``.

The configuration is stable-audio-tools' own. What the embedded model adds (mel front end, word list) stands under ``synthloom``.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from stable_audio_tools.models.bottleneck import VAEBottleneck
from stable_audio_tools.models.factory import create_model_from_config

from core import atomic
from core.errors import InvalidValueError
from tasks.text_to_audio.codec import FrontEnd, Mel
from tasks.text_to_audio.prompts import WordConditioner

CONFIG, WEIGHTS = "model_config.json", "model.safetensors"


def embedded_config(front_end: FrontEnd, canvas_s: float, latent_dim: int, width: int, depth: int, objective: str) -> dict[str, Any]:
    """Return stable-audio-tools' configuration of the embedded model; its "samples" are mel frames, its "channels" mel bands."""
    stride, frame_rate_hz = 2, front_end.sample_rate_hz / front_end.hop
    # A few channels more than bands: what :mod:`tasks.train_text_to_audio.linear_start` needs for a constant, the rest is free.
    blocks = {"channels": max(front_end.mels, latent_dim) + 8, "c_mults": [1], "strides": [stride], "use_snake": False}
    autoencoder = {
        "encoder": {"type": "oobleck", "config": {"in_channels": front_end.mels, "latent_dim": 2 * latent_dim, **blocks}},
        "decoder": {
            "type": "oobleck", "config": {"out_channels": front_end.mels, "latent_dim": latent_dim, "final_tanh": False, **blocks},
        },
        "bottleneck": {"type": "vae"}, "latent_dim": latent_dim, "downsampling_ratio": stride, "io_channels": front_end.mels,
    }  # fmt: skip
    conditioning = {
        "cond_dim": width,
        "configs": [
            {"id": "prompt", "type": "list", "config": {"options": [""]}},  # replaced by the WordConditioner
            {"id": "seconds_total", "type": "number", "config": {"min_val": 0, "max_val": 512}},
        ],
    }
    diffusion = {
        "type": "dit", "diffusion_objective": objective, "cross_attention_cond_ids": ["prompt", "seconds_total"],
        "global_cond_ids": ["seconds_total"],
        "config": {
            "io_channels": latent_dim, "embed_dim": width, "depth": depth, "num_heads": width // 64, "cond_token_dim": width,
            "global_cond_dim": width, "project_cond_tokens": False, "transformer_type": "continuous_transformer",
        },
    }  # fmt: skip
    model = {
        "pretransform": {"type": "autoencoder", "iterate_batch": False, "config": autoencoder}, "conditioning": conditioning,
        "diffusion": diffusion, "io_channels": latent_dim,
    }  # fmt: skip
    return {
        "model_type": "diffusion_cond", "sample_size": front_end.frames(canvas_s, stride), "sample_rate": math.ceil(frame_rate_hz),
        "audio_channels": front_end.mels, "model": model,
    }  # fmt: skip


class TextToAudio:
    """A loaded model: its stable-audio-tools part, and how sounds become its latents and back."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Build the model from a configuration, with fresh weights."""
        self.config = config
        self.model = create_model_from_config(copy.deepcopy(config))
        own = config.get("synthloom")
        self.mel = Mel(FrontEnd(**own["front_end"])) if own else None
        if own:
            self.model.conditioner.conditioners["prompt"] = WordConditioner(
                own["vocabulary"], int(config["model"]["conditioning"]["cond_dim"])
            )

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the sounds it makes."""
        return self.mel.front_end.sample_rate_hz if self.mel else int(self.config["sample_rate"])

    @property
    def canvas_s(self) -> float:
        """Longest sound it makes, in seconds."""
        size = int(self.config["sample_size"])
        return (size - 1) * self.mel.front_end.hop / self.sample_rate_hz if self.mel else size / self.sample_rate_hz

    @property
    def latent_frames(self) -> int:
        """Length of its latents."""
        return int(self.config["sample_size"]) // int(self.model.pretransform.downsampling_ratio)

    @torch.no_grad()
    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Return latents [batch, latent channels, latent frames] of mono sounds [batch, samples] at the model's rate.

        A variational autoencoder gives the mean of its posterior: the library's own ``encode`` draws from the global generator, so that
        the same sound would have another latent in another batch.
        """
        pretransform, size = self.model.pretransform, int(self.config["sample_size"])
        if self.mel:
            inputs = self.mel.analyse(samples.cpu(), size).to(next(self.model.parameters()).device)
        else:
            padded = torch.nn.functional.pad(samples, (0, max(0, size - samples.shape[-1])))[:, None, :size]
            inputs = padded.expand(-1, int(pretransform.io_channels), -1)
        if isinstance(getattr(pretransform.model, "bottleneck", None), VAEBottleneck):
            return pretransform.model.encode(inputs, skip_bottleneck=True).chunk(2, dim=1)[0] / pretransform.scale
        return pretransform.encode(inputs)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, length: int) -> torch.Tensor:
        """Return mono sounds [batch, length] for latents."""
        decoded = self.model.pretransform.decode(latents)
        return self.mel.synthesise(decoded.float().cpu(), length) if self.mel else decoded.float().cpu().mean(1)[:, :length]

    def conditioning(self, prompts: list[str], seconds: list[float], device: str) -> dict[str, Any]:
        """Return the model's conditioning tensors for prompts and durations."""
        items = [{"prompt": prompt, "seconds_start": 0, "seconds_total": second} for prompt, second in zip(prompts, seconds, strict=True)]
        return dict(self.model.conditioner(items, device))

    def save(self, folder: Path) -> None:
        """Write configuration and weights."""
        state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.model.state_dict().items()}
        with atomic.replacing(folder / WEIGHTS) as temporary:
            save_file(state, str(temporary))
        atomic.write_json(folder / CONFIG, self.config)


def with_front_end(config: dict[str, Any], front_end: FrontEnd, vocabulary: list[str]) -> dict[str, Any]:
    """Return a configuration with the embedded model's own part."""
    return {**config, "synthloom": {"front_end": asdict(front_end), "vocabulary": vocabulary}}


def load(folder: Path) -> TextToAudio:
    """Load a model folder, weights strictly by name.

    Raises:
        InvalidValueError: a file is missing, or the weights do not fit the configuration.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InvalidValueError("no model there", where=str(folder), allowed=f"{CONFIG} and {WEIGHTS}", received=f"{name} is missing")
    loaded = TextToAudio(json.loads((folder / CONFIG).read_text()))
    try:
        loaded.model.load_state_dict(load_file(str(folder / WEIGHTS)), strict=True)
    except RuntimeError as error:
        raise InvalidValueError("weights do not fit the configuration", where=str(folder), received=str(error)[:500]) from error
    loaded.model.eval().requires_grad_(False)
    return loaded
