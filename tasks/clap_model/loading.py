"""Builds and loads LAION-CLAP models, from laion-clap's own ``clap_module``.

The package's front door is not used: ``import laion_clap`` fetches three tokenizers from a hub, and offline transformers 5 hands out
empty ones without an error. Its model code, ``clap_module``, needs no network.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from core import atomic
from core.errors import InvalidValueError

CONFIG, WEIGHTS = "clap_config.json", "clap.pt"
SMALLEST_VOCABULARY = 1000


def clap_module() -> Any:
    """Return laion-clap's ``clap_module`` without running ``laion_clap/__init__``, which goes to the network."""
    if "clap_module" not in sys.modules:
        spec = importlib.util.find_spec("laion_clap")
        if spec is None or not spec.submodule_search_locations:
            raise InvalidValueError("laion-clap is not installed", where="envs/clap", received=None, hint="run ./run.sh setup clap")
        sys.path.append(next(iter(spec.submodule_search_locations)))
    import clap_module as module

    return module


@dataclass(frozen=True)
class CompactConfig:
    """The embedded model: an HTSAT of reduced width over 64 mel bands, and CLAP's own small text transformer with its shipped BPE."""

    sample_rate_hz: int = 16000
    window_s: float = 2.0
    embed_dim: int = 24
    depths: tuple[int, ...] = (1, 1, 2, 1)
    heads: tuple[int, ...] = (2, 2, 4, 4)
    spec_size: int = 128
    hop: int = 128
    text_width: int = 64
    text_layers: int = 1
    context_length: int = 40
    joint_dim: int = 64


class Scorer(Protocol):
    """What the filter needs of a model, compact or published."""

    sample_rate_hz: int
    window_s: float

    def audio_embedding(self, windows: torch.Tensor) -> torch.Tensor:
        """Return unit-length embeddings [windows, dim] of sounds [windows, samples]."""

    def text_embedding(self, texts: list[str]) -> torch.Tensor:
        """Return unit-length embeddings [texts, dim]."""

    def logit_scale(self) -> float:
        """Return exp(logit_scale)."""


class CompactClap(torch.nn.Module):
    """The compact model; its audio windows are ``window_s`` long."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        module = clap_module()
        htsat = importlib.import_module("clap_module.htsat")
        self.config = config
        self.sample_rate_hz, self.window_s = config.sample_rate_hz, config.window_s
        audio = module.CLAPAudioCfp(
            model_type="PANN", model_name="Cnn6", sample_rate=config.sample_rate_hz, window_size=1024, hop_size=config.hop, fmin=50,
            fmax=config.sample_rate_hz // 2, class_num=10, mel_bins=64, clip_samples=round(config.window_s * config.sample_rate_hz),
        )  # fmt: skip
        text = module.CLAPTextCfg(config.context_length, 49408, config.text_width, 2, config.text_layers, "transformer")
        features = config.embed_dim * 2 ** (len(config.depths) - 1)
        self.clap = module.CLAP(features, audio, text, joint_embed_shape=config.joint_dim)
        # CLAP builds one of three fixed sizes; the tower itself takes any.
        self.clap.audio_branch = htsat.HTSAT_Swin_Transformer(
            spec_size=config.spec_size, patch_size=4, patch_stride=(4, 4), num_classes=10, embed_dim=config.embed_dim,
            depths=list(config.depths), num_heads=list(config.heads), window_size=8, config=audio,
        )  # fmt: skip
        self._tokenize = module.tokenize

    def audio_embedding(self, windows: torch.Tensor) -> torch.Tensor:
        """Return unit-length embeddings [windows, joint dim] of sounds [windows, samples]."""
        embedded = self.clap.encode_audio({"waveform": windows, "longer": [False] * len(windows)}, device=windows.device)["embedding"]
        return torch.nn.functional.normalize(self.clap.audio_projection(embedded), dim=-1)

    def text_embedding(self, texts: list[str]) -> torch.Tensor:
        """Return unit-length embeddings [texts, joint dim]."""
        tokens = self._tokenize(texts, context_length=self.config.context_length)
        return torch.nn.functional.normalize(self.clap.encode_text(tokens, device=next(self.parameters()).device), dim=-1)

    def logit_scale(self) -> float:
        """Return exp(logit_scale)."""
        return float(self.clap.logit_scale_a.detach().exp())

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        """Write weights in LAION-CLAP's checkpoint layout, and the configuration beside them."""
        with atomic.replacing(folder / WEIGHTS) as temporary:
            torch.save({"epoch": 0, "name": "synthloom-compact", "state_dict": self.clap.state_dict()}, temporary)
        atomic.write_json(folder / CONFIG, {"compact": asdict(self.config), **extra})


class PublishedClap(torch.nn.Module):
    """A published architecture (HTSAT or PANN with RoBERTa); its tokenizer and text tower come from a populated hub cache."""

    def __init__(self, audio_model: str, text_model: str, device: str) -> None:
        super().__init__()
        from transformers import RobertaTokenizer

        module = clap_module()
        self.sample_rate_hz, self.window_s = 48000, 10.0
        try:
            self._tokenizer = RobertaTokenizer.from_pretrained("roberta-base")
            self.clap = module.create_model(audio_model, text_model, device=torch.device(device), enable_fusion=False)
        except OSError as error:
            hint = "fill the hub cache once on a machine with a network (HF_HOME), then set HF_HOME here"
            raise InvalidValueError(
                "roberta-base is not in the hub cache", where="clap_filter", received=str(error)[:200], hint=hint
            ) from error
        check_vocabulary(len(self._tokenizer))

    def audio_embedding(self, windows: torch.Tensor) -> torch.Tensor:
        """Return unit-length embeddings [windows, 512] of sounds [windows, 480 000]."""
        # 16-bit rounding as in laion-clap's own get_audio_embedding_from_data.
        rounded = (windows.clamp(-1, 1) * 32767.0).to(torch.int16).float() / 32767.0
        batch = {"waveform": rounded, "longer": torch.zeros(len(windows), 1, dtype=torch.bool)}
        embedded = self.clap.encode_audio(batch, device=windows.device)["embedding"]
        return torch.nn.functional.normalize(self.clap.audio_projection(embedded), dim=-1)

    def text_embedding(self, texts: list[str]) -> torch.Tensor:
        """Return unit-length embeddings [texts, 512]."""
        tokens = self._tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
        return torch.nn.functional.normalize(self.clap.encode_text(tokens, device=next(self.parameters()).device), dim=-1)

    def logit_scale(self) -> float:
        """Return exp(logit_scale)."""
        return float(self.clap.logit_scale_a.detach().exp())


def check_vocabulary(size: int) -> None:
    """Refuse the empty tokenizer that transformers 5 returns offline: it maps every text to the same two tokens.

    Raises:
        InvalidValueError: the vocabulary is too small to be real.
    """
    if size < SMALLEST_VOCABULARY:
        hint = "the hub cache (HF_HOME) holds no tokenizer files for it"
        raise InvalidValueError(
            "empty tokenizer", where="roberta-base", allowed=f"> {SMALLEST_VOCABULARY} tokens", received=size, hint=hint
        )


def load_weights(clap: torch.nn.Module, path: Path) -> None:
    """Load a LAION-CLAP checkpoint strictly, with or without ``module.`` prefixes and ``position_ids``.

    Raises:
        InvalidValueError: the file holds other things than tensors and plain values, or does not fit the model.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch raise several unrelated types
        raise InvalidValueError(
            f"cannot be loaded safely: {error}", where=str(path), allowed="a checkpoint of tensors", received=""
        ) from error
    state = {name.removeprefix("module."): value for name, value in loaded.get("state_dict", loaded).items()}
    own = clap.state_dict()
    if "text_branch.embeddings.position_ids" not in own:
        state.pop("text_branch.embeddings.position_ids", None)
    try:
        clap.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise InvalidValueError("does not fit the model", where=str(path), received=str(error)[:500]) from error


def load(path: Path, audio_model: str, text_model: str, device: str) -> tuple[CompactClap | PublishedClap, dict[str, Any]]:
    """Load a checkpoint: a folder of ``train_clap``, or a published ``.pt`` file.

    Returns:
        the model in evaluation mode, and what its configuration says (empty for a published one).
    """
    extra: dict[str, Any] = {}
    model: CompactClap | PublishedClap
    if path.is_dir():
        extra = json.loads((path / CONFIG).read_text())
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in extra["compact"].items()}
        model, file = CompactClap(CompactConfig(**values)), path / WEIGHTS
    else:
        model, file = PublishedClap(audio_model, text_model, device), path
    load_weights(model.clap, file)
    return model.to(device).eval(), extra
