"""Builds, saves and loads the text-to-audio model; a model folder holds ``model_config.json`` and ``model.safetensors``.

The configuration is stable-audio-tools' own. What the embedded model adds (mel front end, word list) stands under ``synthloom``, prefix
adapters under ``synthloom_adapters``, the commits of T5 text encoders under ``synthloom_text_encoders``.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from stable_audio_tools.models.bottleneck import VAEBottleneck
from stable_audio_tools.models.factory import create_model_from_config
from stable_audio_tools.models.transformer import RotaryEmbedding

from core import atomic
from core.errors import InvalidValueError
from tasks.text_to_audio import adapters, checkpoints
from tasks.text_to_audio.codec import FrontEnd, Mel
from tasks.text_to_audio.prompts import WordConditioner
from tasks.text_to_audio.text_encoder import HubT5Conditioner

CONFIG, WEIGHTS = "model_config.json", checkpoints.WEIGHTS
TEXT_ENCODERS = "synthloom_text_encoders"


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
        self.model = _created(config)
        own = config.get("synthloom")
        self.mel = Mel(FrontEnd(**own["front_end"])) if own else None
        if own:
            self.model.conditioner.conditioners["prompt"] = WordConditioner(
                own["vocabulary"], int(config["model"]["conditioning"]["cond_dim"])
            )
        if adapters.CONFIG_KEY in config:
            adapters.install(self.model, int(config[adapters.CONFIG_KEY]["tokens"]))

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
            inputs = inputs.to(next(pretransform.parameters()).dtype)  # some configurations keep the autoencoder in half precision
            return pretransform.model.encode(inputs, skip_bottleneck=True).chunk(2, dim=1)[0].float() / pretransform.scale
        return pretransform.encode(inputs)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, length: int) -> torch.Tensor:
        """Return mono sounds [batch, length] for latents."""
        decoded = self.model.pretransform.decode(latents)
        return self.mel.synthesise(decoded.float().cpu(), length) if self.mel else decoded.float().cpu().mean(1)[:, :length]

    @torch.no_grad()
    def decode_onto(self, sounds: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Return mono sounds [batch, samples]: ``sounds`` filtered by what changed from their latents ``before`` to ``after``.

        Raises:
            InvalidValueError: the model has no mel front end.
        """
        if not self.mel:
            hint = "choose detail=generated for models with a waveform autoencoder"
            raise InvalidValueError("only a model with a mel front end can", where="generate.detail", received="start", hint=hint)
        mels = self.model.pretransform.decode(torch.cat([before, after])).float().cpu().chunk(2)
        return self.mel.moved(sounds.cpu(), *mels)

    def conditioning(self, prompts: list[str], seconds: list[float], device: str) -> dict[str, Any]:
        """Return the model's conditioning tensors for prompts and durations."""
        items = [{"prompt": prompt, "seconds_start": 0, "seconds_total": second} for prompt, second in zip(prompts, seconds, strict=True)]
        return dict(self.model.conditioner(items, device))

    def use_bfloat16(self) -> None:
        """Let the transformer, where nearly all of the work is, compute in bfloat16 from now on; everything around it stays float32.

        Time, rotary angles and the sampler's latents are what rounding to eight bits would harm.
        """
        transformer = self.model.model.model.transformer
        for module in transformer.modules():
            if isinstance(module, RotaryEmbedding):
                continue
            for part in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if part.is_floating_point():
                    part.data = part.data.to(torch.bfloat16)
        transformer.register_forward_pre_hook(_cast_inputs, with_kwargs=True)
        transformer.register_forward_hook(_cast_output)

    def save(self, folder: Path) -> None:
        """Write configuration and weights."""
        state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.model.state_dict().items()}
        with atomic.replacing(folder / WEIGHTS) as temporary:
            save_file(state, str(temporary))
        atomic.write_json(folder / CONFIG, self.config)


def with_front_end(config: dict[str, Any], front_end: FrontEnd, vocabulary: list[str]) -> dict[str, Any]:
    """Return a configuration with the embedded model's own part."""
    return {**config, "synthloom": {"front_end": asdict(front_end), "vocabulary": vocabulary}}


def _created(config: dict[str, Any]) -> torch.nn.Module:
    """Return the library's model for a configuration, its T5 encoders taken from the hub cache."""
    plain = copy.deepcopy(config)
    conditioning = plain.get("model", {}).get("conditioning", {})
    encoders = [item for item in conditioning.get("configs", []) if item["type"] == "t5"]
    made = {}
    for item in encoders:
        options = {name: value for name, value in item["config"].items() if name != "enable_grad"}
        if item["config"].get("enable_grad"):
            hint = "export it with the encoder frozen, as all published models have it"
            raise InvalidValueError("a text encoder trained along", where=f"conditioning.{item['id']}", received="enable_grad", hint=hint)
        name = options.get("t5_model_name", "t5-base")
        revision = config.get(TEXT_ENCODERS, {}).get(name, "")
        made[item["id"]] = HubT5Conditioner(**{"output_dim": conditioning["cond_dim"], **options}, revision=revision)
        item.update(type="list", config={"options": [""]})  # a stand-in that needs no weights
    model = create_model_from_config(plain)
    for name, encoder in made.items():
        model.conditioner.conditioners[name] = encoder
    return model


def _cast_inputs(module: torch.nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def cast(value: Any) -> Any:
        return value.to(torch.bfloat16) if torch.is_tensor(value) and value.is_floating_point() else value

    return tuple(cast(value) for value in inputs), {name: cast(value) for name, value in named.items()}


def _cast_output(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
    return (output[0].float(), *output[1:]) if isinstance(output, tuple) else output.float()


def load(folder: Path) -> TextToAudio:
    """Load a model folder: ours, or one in the format of stable-audio-tools' published models; weights strictly by name and shape.

    Raises:
        InvalidValueError: a file is missing, the text encoder is not in the hub cache, or the weights do not fit the configuration.
    """
    weights = checkpoints.find(folder)
    if weights is None or not (folder / CONFIG).is_file():
        missing = WEIGHTS if (folder / CONFIG).is_file() else CONFIG
        allowed = f"{CONFIG} and {WEIGHTS} (or one .ckpt)"
        raise InvalidValueError("no model there", where=str(folder), allowed=allowed, received=f"{missing} is missing")
    config = json.loads((folder / CONFIG).read_text())
    if config.get("model_type") != "diffusion_cond":
        raise InvalidValueError("unknown kind of model", where=str(folder), allowed="diffusion_cond", received=config.get("model_type"))
    loaded = TextToAudio(config)
    checkpoints.load_strictly(loaded.model, checkpoints.read(weights), weights)
    encoders = [part for part in loaded.model.conditioner.conditioners.values() if isinstance(part, HubT5Conditioner)]
    if encoders:
        config[TEXT_ENCODERS] = {encoder.name: encoder.revision for encoder in encoders}
    loaded.model.eval().requires_grad_(False)
    return loaded
