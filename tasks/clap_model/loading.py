"""Builds and loads LAION-CLAP models, from laion-clap's own ``clap_module``.

The package's front door is not used: ``import laion_clap`` fetches three tokenizers from a hub, and offline transformers 5 hands out
empty ones without an error. Its model code, ``clap_module``, needs no network.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from core import atomic
from core.errors import InvalidValueError
from tasks import hub

CONFIG, WEIGHTS = "clap_config.json", "clap.pt"
SMALLEST_VOCABULARY = 1000
ROBERTA_BASE: dict[str, Any] = {
    "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "bos_token_id": 0,
    "pad_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
"""What the configuration of roberta-base says beside the class's defaults (12 layers of 768)."""


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


def _mend_front_end(tower: torch.nn.Module) -> None:
    """Let an audio tower compute its spectrogram by FFT, and its log-mel spectrogram always in float32.

    torchlibrosa multiplies by the whole DFT matrix, up to two fifths of the time; the matrix stays where it is, among the weights of
    every checkpoint. And powers leave half precision's range, under autocast.
    """
    extractor: Any = tower.spectrogram_extractor
    stft = extractor.stft
    window = torch.hann_window(stft.n_fft)

    def power(sounds: torch.Tensor) -> torch.Tensor:
        """Return power spectra [batch, 1, frames, bins] of sounds [batch, samples]."""
        made = torch.stft(
            sounds, stft.n_fft, stft.hop_length, window=window.to(sounds.device), center=True, pad_mode="reflect", return_complex=True
        )
        return torch.view_as_real(made).square().sum(-1).transpose(1, 2)[:, None]

    extractor.forward = power
    in_decibels: Any = tower.logmel_extractor
    forward = in_decibels.forward

    def log_mel(powers: torch.Tensor) -> torch.Tensor:
        """Return log-mel spectra [batch, 1, frames, bands] of power spectra [batch, 1, frames, bins]."""
        with torch.autocast(powers.device.type, enabled=False):
            return forward(powers)

    in_decibels.forward = log_mel


def _joined(clap: Any, embedded: torch.Tensor) -> torch.Tensor:
    """Return unit-length embeddings [windows, dim] of an audio tower's [windows, features], in float32 whatever the tower computed in."""
    with torch.autocast(embedded.device.type, enabled=False):
        return torch.nn.functional.normalize(clap.audio_projection(embedded.float()), dim=-1)


@contextmanager
def without_initialisation() -> Iterator[None]:
    """Build modules without drawing their first weights, two seconds for RoBERTa's; only for what a checkpoint fills completely."""
    from transformers.initialization import no_init_weights

    names = ("kaiming_uniform_", "xavier_uniform_", "uniform_", "normal_", "trunc_normal_")
    before = {name: getattr(torch.nn.init, name) for name in names}

    def keep(tensor: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        return tensor

    for name in names:
        setattr(torch.nn.init, name, keep)
    try:
        with no_init_weights():
            yield
    finally:
        for name, function in before.items():
            setattr(torch.nn.init, name, function)


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
        _mend_front_end(self.clap.audio_branch)
        self._tokenize = module.tokenize

    def audio_embedding(self, windows: torch.Tensor) -> torch.Tensor:
        """Return unit-length embeddings [windows, joint dim] of sounds [windows, samples]."""
        embedded = self.clap.encode_audio({"waveform": windows, "longer": [False] * len(windows)}, device=windows.device)["embedding"]
        return _joined(self.clap, embedded)

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
    """A published architecture (HTSAT or PANN with RoBERTa); its tokenizer comes from the hub cache, all weights from the checkpoint."""

    def __init__(self, audio_model: str, text_model: str, device: str) -> None:
        super().__init__()
        from transformers import RobertaTokenizer

        if text_model != "roberta":
            hint = "all published LAION-CLAP checkpoints have it"
            raise InvalidValueError("unknown text tower", where="clap_filter.text_model", allowed="roberta", received=text_model, hint=hint)
        self.audio_model, self.text_model = audio_model, text_model
        self.sample_rate_hz, self.window_s = 48000, 10.0
        # An absolute folder: by its name alone, a folder called roberta-base in the working directory would be taken.
        folder = hub.snapshot("roberta-base", ["vocab.json", "merges.txt", "tokenizer*.json", "config.json"], "clap_filter.checkpoint")
        try:
            self._tokenizer = RobertaTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as error:
            hint = "the cached copy is incomplete: run `hf download roberta-base` again"
            raise InvalidValueError("cannot be loaded", where="roberta-base", received=str(error)[:300], hint=hint) from error
        check_vocabulary(len(self._tokenizer))
        module = clap_module()
        try:
            with _fresh_text_tower():
                self.clap, _ = module.create_model(audio_model, text_model, device=torch.device(device), enable_fusion=False)
        except RuntimeError as error:
            allowed = [name for name in module.list_models() if name.startswith(("HTSAT", "PANN"))]
            raise InvalidValueError(
                "unknown audio tower", where="clap_filter.audio_model", allowed=allowed, received=audio_model
            ) from error
        _mend_front_end(self.clap.audio_branch)

    def audio_embedding(self, windows: torch.Tensor) -> torch.Tensor:
        """Return unit-length embeddings [windows, 512] of sounds [windows, 480 000]."""
        # 16-bit rounding as in laion-clap's own get_audio_embedding_from_data.
        rounded = (windows.clamp(-1, 1) * 32767.0).to(torch.int16).float() / 32767.0
        batch = {"waveform": rounded, "longer": torch.zeros(len(windows), 1, dtype=torch.bool)}
        embedded = self.clap.encode_audio(batch, device=windows.device)["embedding"]
        return _joined(self.clap, embedded)

    def text_embedding(self, texts: list[str]) -> torch.Tensor:
        """Return unit-length embeddings [texts, 512]."""
        # Padded to the longest text, not to 77: padding is masked, so that only the time is another.
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=77, return_tensors="pt")
        return torch.nn.functional.normalize(self.clap.encode_text(tokens, device=next(self.parameters()).device), dim=-1)

    def logit_scale(self) -> float:
        """Return exp(logit_scale)."""
        return float(self.clap.logit_scale_a.detach().exp())

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        """Write weights in LAION-CLAP's checkpoint layout, and which towers they belong to beside them."""
        with atomic.replacing(folder / WEIGHTS) as temporary:
            torch.save({"epoch": 0, "name": f"{self.audio_model}-{self.text_model}", "state_dict": self.clap.state_dict()}, temporary)
        atomic.write_json(folder / CONFIG, {"published": [self.audio_model, self.text_model], **extra})


@contextmanager
def _fresh_text_tower() -> Iterator[None]:
    """Let laion-clap build roberta-base from its configuration: it would fetch 500 MB of weights that the checkpoint replaces anyway."""
    from transformers import RobertaConfig, RobertaModel

    towers = importlib.import_module("clap_module.model")
    before = towers.RobertaModel

    class Fresh:
        """Stands where laion-clap asks for pretrained weights."""

        @staticmethod
        def from_pretrained(name: str) -> torch.nn.Module:
            """Return a tower with fresh weights."""
            return RobertaModel(RobertaConfig(**ROBERTA_BASE))

    towers.RobertaModel = Fresh
    try:
        yield
    finally:
        towers.RobertaModel = before


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


def is_compact(path: Path) -> bool:
    """Whether a checkpoint is a compact one of ``train_clap``, not a published or a fine-tuned one."""
    return path.is_dir() and "compact" in json.loads((path / CONFIG).read_text())


def load(path: Path, audio_model: str, text_model: str, device: str) -> tuple[CompactClap | PublishedClap, dict[str, Any]]:
    """Load a checkpoint: a folder of ``train_clap``, or a published ``.pt`` file.

    Args:
        path: the folder or file.
        audio_model: audio tower of a published file; a folder knows its own.
        text_model: text tower of a published file.
        device: where the model goes.

    Returns:
        the model in evaluation mode, and what its configuration says (empty for a published one).
    """
    extra: dict[str, Any] = json.loads((path / CONFIG).read_text()) if path.is_dir() else {}
    model: CompactClap | PublishedClap
    if "compact" in extra:
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in extra["compact"].items()}
        model = CompactClap(CompactConfig(**values))
    else:
        with without_initialisation():
            model = PublishedClap(*extra.get("published", (audio_model, text_model)), device)
    load_weights(model.clap, path / WEIGHTS if path.is_dir() else path)
    return model.to(device).eval(), extra
