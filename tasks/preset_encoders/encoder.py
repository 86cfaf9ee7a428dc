"""Preset encoders by name: a representation, a body and a linear layer to the audio embedding; and how a trained one is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import InvalidValueError, nearest
from tasks.preset_encoders.bodies import MLP, TRANSFORMER_SD, HighwayBlock, Recurrent, ResidualBlock, Stack, Transformer
from tasks.preset_encoders.modules import ModuleTokens
from tasks.preset_encoders.representations import TOKEN_SD, OneHot, RawParameters, RecurrentTokens, Representation, Tokens
from tasks.presets.layout import Layout
from tasks.presets.parameters import SynthSpec
from tasks.training.weights import save_weights

MODEL = "model.pt"
"""File of a trained encoder below its folder: ``state`` and ``config``, tensors and plain values only."""
COMMON: dict[str, Any] = {"dropout": 0.0}
BLOCKS: dict[str, Any] = {**COMMON, "norm": "batch"}
SIZES: dict[str, dict[str, Any]] = {
    "mlp_oh": {**BLOCKS, "hidden": 2048, "blocks": 1},
    "hn_oh": {**BLOCKS, "hidden": 768, "blocks": 6},
    "hn_pt": {**BLOCKS, "hidden": 512, "blocks": 6, "token": 64, "position": False, "token_sd": TOKEN_SD},
    "hn_ptgru": {
        **BLOCKS, "hidden": 768, "blocks": 6, "token": 384, "gru_factor": 1.0, "gru_layers": 1, "gru_norm": False, "token_sd": TOKEN_SD
    },
    "tfm": {
        **COMMON, "token": 256, "blocks": 6, "heads": 8, "factor": 4.0, "pooling": "cls", "position": True, "token_sd": TOKEN_SD,
        "init_sd": TRANSFORMER_SD,
    },
    "tfm_modules": {
        **COMMON, "token": 256, "blocks": 6, "heads": 8, "factor": 4.0, "pooling": "cls", "hidden": 512, "knots": 12,
        "init_sd": TRANSFORMER_SD,
    },
    "mlp_raw": {**BLOCKS, "hidden": 2048, "blocks": 1},
    "resnet_oh": {**BLOCKS, "hidden": 768, "blocks": 6},
    "bigru_oh": {"hidden": 1024, "gru_layers": 1},
}  # fmt: skip
"""The published base sizes by encoder; ``tfm_modules`` is our own, the last three are implemented there but not in the published runs."""
CHOICES = {"norm": ("batch", "layer"), "pooling": ("cls", "avg")}


class PresetEncoder(nn.Module):
    """f(x): from presets to audio embeddings. The last layer gives normalised embeddings; ``middle`` and ``spread`` undo that.

    Args:
        representation: how presets enter.
        body: from the representation to features.
        features: of the body's result.
        out: dimensions m of the embedding.
        config: what :func:`build` was called with.
    """

    def __init__(self, representation: Representation, body: nn.Module, features: int, out: int, config: dict[str, Any]) -> None:
        super().__init__()
        self.representation, self.body, self.head, self.config = representation, body, nn.Linear(features, out), config
        if config["name"].startswith("tfm"):
            init_sd = config["sizes"]["init_sd"]
            nn.init.trunc_normal_(self.head.weight, std=init_sd, a=-2 * init_sd, b=2 * init_sd)
        else:
            nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("middle", torch.zeros(out))
        self.register_buffer("spread", torch.ones(out))

    def forward(self, presets: Tensor) -> Tensor:
        """Return embeddings [B, m], in the audio model's own units, of exact presets [B, used]."""
        return self.undone(self.normal(presets))

    def relaxed(self, presets: Tensor) -> Tensor:
        """Return embeddings [B, m] of relaxed presets [B, width]: scalars, then one distribution per category; see ``representations``."""
        return self.undone(self._features(self.representation.relaxed(presets)))

    def normal(self, presets: Tensor) -> Tensor:
        """Return normalised embeddings [B, m] of exact presets [B, used]: what the loss is taken of."""
        return self._features(self.representation(presets))

    def normalised(self, embeddings: Tensor) -> Tensor:
        """Return embeddings [B, m] less their middle, in units of their spread."""
        return (embeddings - self.middle) / self.spread

    def undone(self, normal: Tensor) -> Tensor:
        """Return embeddings in the audio model's own units of normalised ones."""
        return normal * self.spread + self.middle

    def _features(self, represented: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(represented))
        return found.float()

    @torch.no_grad()
    def set_normalisation(self, middle: Tensor, spread: Tensor) -> None:
        """Set what normalised embeddings are measured from and in, both [m]."""
        self.middle.copy_(middle)
        self.spread.copy_(spread)


def build(name: str, layout: Layout, out: int, **sizes: Any) -> PresetEncoder:
    """Return an untrained encoder.

    Args:
        name: one of :data:`SIZES`.
        layout: of the presets.
        out: dimensions m of the embedding.
        sizes: in place of the published base sizes.

    Raises:
        InvalidValueError: no such encoder or size.
    """
    whole = complete(name, sizes)
    representation = _representation(name, layout, whole)
    body, features = _body(name, representation.shape, whole)
    return PresetEncoder(representation, body, features, out, {"name": name, "out": out, "sizes": whole})


def complete(name: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """Return all sizes of an encoder: those given, the published ones otherwise.

    Raises:
        InvalidValueError: no such encoder, size or choice.
    """
    if name not in SIZES:
        raise InvalidValueError("no such encoder", where="preset encoder", allowed=list(SIZES), received=name, hint=nearest(name, SIZES))
    for size, value in sizes.items():
        where = f"preset encoder.{size}"
        if size not in SIZES[name]:
            raise InvalidValueError(f"{name} has no such size", where=where, received=value, hint=nearest(size, SIZES[name]))
        if size in CHOICES and value not in CHOICES[size]:
            raise InvalidValueError("not one of the choices", where=where, allowed=CHOICES[size], received=value)
        if type(SIZES[name][size]) in (int, float) and not (value > 0 or (size == "dropout" and value == 0)):
            raise InvalidValueError("too small", where=where, allowed="above 0", received=value)
    return {**SIZES[name], **sizes}


def _representation(name: str, layout: Layout, sizes: dict[str, Any]) -> Representation:
    if name == "hn_ptgru":
        return RecurrentTokens(layout, sizes["token"], sizes["gru_factor"], sizes["gru_layers"], sizes["gru_norm"], sizes["token_sd"])
    if name == "tfm_modules":
        return ModuleTokens(layout, sizes["token"], sizes["hidden"], sizes["knots"], cls=sizes["pooling"] == "cls")
    if name in ("hn_pt", "tfm"):
        return Tokens(layout, sizes["token"], cls=sizes.get("pooling") == "cls", position=sizes["position"], token_sd=sizes["token_sd"])
    return RawParameters(layout) if name == "mlp_raw" else OneHot(layout)


def _body(name: str, shape: tuple[int, ...], sizes: dict[str, Any]) -> tuple[nn.Module, int]:
    """Return the body and the number of its features."""
    flat = int(torch.Size(shape).numel())
    if name.startswith("tfm"):
        names = ("blocks", "heads", "factor", "pooling", "dropout", "init_sd")
        return Transformer(shape[1], *(sizes[name] for name in names)), shape[1]
    if name == "bigru_oh":
        return Recurrent(sizes["hidden"], sizes["gru_layers"]), sizes["hidden"]
    rest = (flat, sizes["hidden"], sizes["blocks"], sizes["norm"], sizes["dropout"])
    if name.startswith("mlp"):
        return MLP(*rest), sizes["hidden"]
    stack = Stack(ResidualBlock if name == "resnet_oh" else HighwayBlock, *rest)
    return (nn.Sequential(nn.Flatten(), stack) if len(shape) > 1 else stack), sizes["hidden"]


def parameter_count(module: nn.Module) -> int:
    """Return the number of weights."""
    return sum(part.numel() for part in module.parameters())


def save(path: Path, encoder: PresetEncoder, spec: SynthSpec, about: dict[str, Any]) -> None:
    """Write an encoder; the same weights give the same bytes.

    Args:
        path: the file.
        encoder: the weights.
        spec: of the synthesiser; kept inside, so that the file is enough to embed presets.
        about: plain values that are kept in ``config`` beside name and sizes (audio model, loss, seed, what it was trained on).
    """
    save_weights(path, encoder.state_dict(), {**about, **encoder.config, "spec": json.dumps(spec.to_json(), sort_keys=True)})


def load(folder: Path, device: str | torch.device = "cpu") -> tuple[PresetEncoder, SynthSpec, dict[str, Any]]:
    """Return a trained encoder in evaluation mode, the spec of its synthesiser, and what was noted when it was saved.

    Args:
        folder: one that train_preset_encoder wrote, or a file of weights in it.
        device: where the weights go.

    Raises:
        InvalidValueError: no encoder there.
    """
    path = Path(folder) / MODEL if Path(folder).is_dir() else Path(folder)
    if not path.is_file():
        allowed = f"a folder of train_preset_encoder with {MODEL}, or one of its files of weights"
        raise InvalidValueError("no trained preset encoder", where=str(folder), allowed=allowed, received=path.name)
    saved = torch.load(path, weights_only=True, map_location="cpu")
    config = dict(saved["config"])
    spec = SynthSpec.from_json(json.loads(config.pop("spec")), str(path))
    encoder = build(config["name"], Layout(spec), config["out"], **config["sizes"])
    encoder.load_state_dict(saved["state"])
    return encoder.to(device).eval().requires_grad_(False), spec, config
