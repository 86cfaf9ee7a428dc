"""The two losses, of the autoencoder and of the diffusion model; the loop is :mod:`tasks.training.loop`.

The library's Lightning wrappers are not used: they import wandb, TensorBoard and audiotools (12 s) and cannot be resumed inside a step
budget with the same batches. Models, conditioning and samplers are the library's own.
"""

from __future__ import annotations

import torch

from tasks.text_to_audio.model import TextToAudio
from tasks.text_to_audio.objective import noised_and_target
from tasks.train_text_to_audio.spec import Settings


def autoencoder_loss(
    model: TextToAudio, mels: torch.Tensor, rows: torch.Tensor, kl_weight: float, generator: torch.Generator
) -> torch.Tensor:
    """Return the mean absolute log-mel error of sampled reconstructions plus weighted KL per latent value.

    Args:
        mels: normalised log-mels [clips, mels, frames].
        rows: clips of the batch.
    """
    autoencoder = model.model.pretransform.model
    batch = mels[rows]
    # A random gain in the log domain is a shift: the autoencoder must not learn one recording level.
    gain = (torch.rand(len(rows), 1, 1, generator=generator) - 0.5) * 0.6
    batch = (batch + gain).to(next(autoencoder.parameters()).device)
    mean, scale = autoencoder.encoder(batch).chunk(2, dim=1)
    deviation = torch.nn.functional.softplus(scale) + 1e-4  # as in stable-audio-tools' VAEBottleneck
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    rebuilt = autoencoder.decoder(mean + deviation * noise)
    kl = 0.5 * (mean**2 + deviation**2 - 2 * torch.log(deviation) - 1).mean()
    return (rebuilt - batch).abs().mean() + 0.5 * ((rebuilt - batch) ** 2).mean() + kl_weight * kl


def diffusion_loss(
    model: TextToAudio, latents: torch.Tensor, prompts: list[str], seconds: list[float], settings: Settings, generator: torch.Generator
) -> torch.Tensor:
    """Return the mean squared error of the objective (:mod:`tasks.text_to_audio.objective`; section 1.3 of the Synthio specification)."""
    device = latents.device
    t = torch.rand(len(latents), generator=generator).to(device)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    noised, target = noised_and_target(settings.objective, latents, t, noise)
    conditioning = model.conditioning(prompts, seconds, str(device))
    # The library would compute every layer again in the backward pass to save memory, which this small model does not need.
    predicted = model.model(noised, t, cond=conditioning, cfg_dropout_prob=settings.cfg_dropout, use_checkpointing=False)
    return torch.nn.functional.mse_loss(predicted, target)
