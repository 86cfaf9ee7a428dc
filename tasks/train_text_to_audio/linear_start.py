"""Starts the Oobleck autoencoder as a principal-component coder: from random weights it needs far more steps than a CPU run has.

A linear coder is a point in the autoencoder's weight space: the residual units start as the identity, and a bias keeps ELU on its
linear branch. Training then moves on from there. Principal components: Hotelling, 1933; here of log-mel patches of ``stride`` frames.
"""

from __future__ import annotations

import torch
from torch import nn

OFFSET = 20.0
"""Bias in front of ELU; normalised log-mels and their components hardly ever fall below its negative, so ELU is the identity there."""
WHITENING = 0.5
"""Exponent of the components' standard deviations that is divided out: 0 keeps their variances, 1 makes them all one."""


def components(mels: torch.Tensor, shares: torch.Tensor, stride: int, latent_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return analysis [latent_dim, mels, stride] and synthesis [mels, stride, latent_dim] of log-mels [clips, mels, frames].

    Each clip counts with its entry of ``shares`` [clips]. The log-mels are taken as centred (they are normalised). Synthesis after
    analysis is the projection on the leading components.
    """
    clips, bands, frames = mels.shape
    weighted = mels[..., : frames // stride * stride].double() * shares.double().sqrt()[:, None, None]
    patches = weighted.reshape(clips, bands, -1, stride).permute(0, 2, 1, 3).reshape(-1, bands * stride)
    values, vectors = torch.linalg.eigh(patches.T @ patches / (shares.sum() * (frames // stride)))
    kept = vectors[:, -latent_dim:].flip(1)
    # A fixed sign per component: LAPACK's choice differs between builds.
    kept = kept * kept.sum(0).sign().where(kept.sum(0) != 0, torch.ones(()).double())
    spread = values[-latent_dim:].flip(0).clamp(min=1e-6).sqrt() ** WHITENING
    analysis = (kept / spread).T.reshape(latent_dim, bands, stride)
    synthesis = (kept * spread).reshape(bands, stride, latent_dim)
    return analysis.float(), synthesis.float()


def _set(convolution: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Write a weight into a weight-normalised convolution: direction and norm over all but the first axis."""
    norm = weight.flatten(1).norm(dim=1).view(-1, 1, 1)
    # An all-zero row has no direction: only its gain becomes zero.
    convolution.weight_v.copy_(torch.where(norm > 0, weight, convolution.weight_v))
    convolution.weight_g.copy_(norm)
    if bias is not None:
        convolution.bias.copy_(bias)


def _identity_residuals(block: nn.Module) -> None:
    """Make every residual unit add nothing, by the gain of its last convolution."""
    for unit in block.layers:
        if type(unit).__name__ == "ResidualUnit":
            unit.layers[-1].weight_g.zero_()
            unit.layers[-1].bias.zero_()


@torch.no_grad()
def start_linear(autoencoder: nn.Module, mels: torch.Tensor, shares: torch.Tensor, posterior_scale: float) -> None:
    """Set a one-block, even-stride Oobleck autoencoder with ELU to the principal-component coder of the given log-mels.

    Args:
        autoencoder: stable-audio-tools' AudioAutoencoder with one block, kernel ``2·stride``, more than ``mels`` channels.
        mels: normalised log-mels [clips, mels, frames].
        shares: how much each clip counts, [clips].
        posterior_scale: start of the posterior's pre-softplus deviation.
    """
    stride, latent_dim = int(autoencoder.downsampling_ratio), int(autoencoder.latent_dim)
    analysis, synthesis = (part.to(next(autoencoder.parameters()).device) for part in components(mels, shares, stride, latent_dim))
    bands, left = mels.shape[1], stride // 2  # Oobleck pads ceil(stride / 2), so kernel column j reads frame t·stride + j - stride / 2
    first, block, _, last = autoencoder.encoder.layers
    _identity_residuals(block)
    weight, bias = first.weight_v.clone() * 0.02, torch.zeros_like(first.bias)
    weight[:bands] = 0
    weight[range(bands), range(bands), 3] = 1.0
    bias[:bands] = OFFSET
    _set(first, weight, bias)
    strided = block.layers[-1]
    weight, bias = strided.weight_v.clone() * 0.02, torch.zeros_like(strided.bias)
    weight[:latent_dim] = 0
    weight[:latent_dim, :bands, left : left + stride] = analysis
    bias[:latent_dim] = OFFSET - OFFSET * analysis.sum((1, 2))
    _set(strided, weight, bias)
    weight, bias = torch.zeros_like(last.weight_v), torch.zeros_like(last.bias)
    weight[range(latent_dim), range(latent_dim), 1] = 1.0
    bias[:latent_dim], bias[latent_dim:] = -OFFSET, posterior_scale
    _set(last, weight, bias)
    _start_decoder(autoencoder.decoder, synthesis, bands, stride, latent_dim)


def _start_decoder(decoder: nn.Module, synthesis: torch.Tensor, bands: int, stride: int, latent_dim: int) -> None:
    first, block, _, last, _ = decoder.layers
    left = stride // 2
    _identity_residuals(block)
    weight, bias = first.weight_v.clone() * 0.02, torch.zeros_like(first.bias)
    weight[: latent_dim + 1] = 0
    weight[range(latent_dim), range(latent_dim), 3] = 1.0
    bias[:latent_dim], bias[latent_dim] = OFFSET, 1.0  # one channel is always 1
    _set(first, weight, bias)
    upsampling = block.layers[1]  # its weight is [in, out, kernel]
    weight, bias = upsampling.weight_v.clone() * 0.02, torch.zeros_like(upsampling.bias)
    weight[:, : bands + 1] = 0
    weight[:latent_dim, :bands, left : left + stride] = synthesis.permute(2, 0, 1)
    # What the offset of the latents became is taken away through the constant channel, since it differs between the columns.
    weight[latent_dim, :bands, left : left + stride] = OFFSET - OFFSET * synthesis.sum(2)
    bias[bands] = OFFSET  # a constant channel for the last convolution, which has no bias to take the offset away with
    _set(upsampling, weight, bias)
    weight = torch.zeros_like(last.weight_v)
    weight[range(bands), range(bands), 3] = 1.0
    weight[range(bands), bands, 3] = -1.0
    _set(last, weight, None)
