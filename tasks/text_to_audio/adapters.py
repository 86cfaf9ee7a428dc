"""Prefix adapters in the attention layers of a stable-audio-tools transformer: a small set of weights that steers a frozen model.

As in LLaMA-Adapter (Zhang et al., 2023, arXiv 2303.16199) and its released code: every attention layer, self and cross, gets N learned
prefix tokens P. Their keys and values come from the layer's own frozen projections, the layer's queries attend to them apart from
everything else, and the outcome is added through one gate per head:

    softmax(Q·Kᵀ/√d)·V + tanh(gate) · softmax(Q·K_Pᵀ/√d)·V_P

Gates start at 0, where the model is exactly the one without adapters. The published fork computes this inside its flash-attention branch
and nowhere else; here it is added to what ``apply_attn`` returns, so the library chooses its backend (flash, flex, plain) as ever.

A model folder says ``"synthloom_adapters": {"tokens": N}`` at the top level of its configuration. The base weights keep their names;
the adapters' are ``….self_attn.adapter.tokens`` and so on.
"""

from __future__ import annotations

from typing import Any

import torch
from stable_audio_tools.models.transformer import Attention
from torch.nn import functional

from core.errors import InvalidValueError

CONFIG_KEY = "synthloom_adapters"


class PrefixAdapter(torch.nn.Module):
    """The learned part of one attention layer."""

    def __init__(self, tokens: int, width: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.tokens = torch.nn.Parameter(torch.randn(tokens, width, generator=generator))
        """Prefix tokens, [tokens, width of what the layer takes keys from]."""
        self.gate = torch.nn.Parameter(torch.zeros(heads))
        """Pre-tanh gates, [heads]."""


class AdaptedAttention(Attention):
    """stable-audio-tools' attention layer with a prefix adapter; made from an existing layer by :func:`install`, never constructed."""

    adapter: PrefixAdapter

    def apply_attn(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **backend: Any) -> torch.Tensor:
        """Return the layer's attention plus the gated attention to the prefix, [batch, heads, positions, dim of a head].

        ``q`` has been normalised and rotated as for the layer itself; a prefix token has no position, so its key is not rotated.
        """
        own = super().apply_attn(q, k, v, **backend)
        prefix_k, prefix_v = self._prefix(q)
        attended = functional.scaled_dot_product_attention(q, prefix_k.to(q.dtype), prefix_v.to(q.dtype))
        return own + torch.tanh(self.adapter.gate).to(own.dtype)[None, :, None, None] * attended.to(own.dtype)

    def _prefix(self, q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the prefix tokens' keys and values, both [1, heads, tokens, dim of a head]."""
        crosses = hasattr(self, "to_kv")
        heads = self.kv_heads if crosses else self.num_heads
        # Self-attention holds queries, keys and values in one matrix, in this order.
        weight = self.to_kv.weight if crosses else self.to_qkv.weight[self.dim :]
        k, v = (
            part.unflatten(-1, (heads, -1)).transpose(0, 1)[None]
            for part in functional.linear(self.adapter.tokens, weight).chunk(2, dim=-1)
        )
        if self.qk_norm == "l2":
            k = functional.normalize(k, dim=-1)
        elif self.qk_norm != "none":
            k = self.k_norm(k)
        if heads != self.num_heads:  # grouped queries, repeated as the layer does
            k, v = (part.repeat_interleave(self.num_heads // heads, dim=1) for part in (k, v))
        return k.expand(len(q), -1, -1, -1), v.expand(len(q), -1, -1, -1)


def install(model: torch.nn.Module, tokens: int, seed: int = 0) -> None:
    """Put an adapter with closed gates into every attention layer of the model's transformer.

    Args:
        model: stable-audio-tools' conditioned diffusion model; only its denoiser ``model.model`` is looked at.
        tokens: prefix tokens per layer.
        seed: of the tokens; loading weights afterwards replaces them.

    Raises:
        InvalidValueError: no token, a denoiser without attention layers of a kind that adapters fit, or one that has adapters already.
    """
    if tokens < 1:
        raise InvalidValueError("too few", where=f"{CONFIG_KEY}.tokens", allowed="at least 1", received=tokens)
    if trained_parameters(model):
        raise InvalidValueError("the model has adapters already", where=CONFIG_KEY, allowed="a model without", received="a second set")
    layers = [(name, part) for name, part in model.model.named_modules() if type(part) is Attention]
    unfit = [name for name, part in layers if part.differential]
    if unfit or not layers:
        raise InvalidValueError(
            "adapters do not fit this model", where=CONFIG_KEY, allowed="a continuous transformer without differential attention",
            received=unfit or type(model.model).__name__, hint="tune=full trains any model",
        )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    for _, layer in layers:
        weight = layer.to_out.weight
        width = layer.to_kv.in_features if hasattr(layer, "to_kv") else layer.dim
        layer.adapter = PrefixAdapter(tokens, width, layer.num_heads, generator).to(weight.device, weight.dtype)
        # The class, not the object, is exchanged: the layer keeps its weights and their names, and copies of the model keep the adapter.
        layer.__class__ = AdaptedAttention


def trained_parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the adapters' parameters of a model by their full names; none where it has no adapters."""
    return {name: part for name, part in model.named_parameters() if ".adapter." in name and name.startswith("model.")}
