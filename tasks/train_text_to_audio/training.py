"""The two training loops, autoencoder then diffusion, resumable at a checkpoint.

The library's Lightning wrappers are not used: they import wandb, TensorBoard and audiotools (12 s) and cannot be resumed inside a step
budget with the same batches. Models, conditioning and samplers are the library's own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core import atomic
from core.context import Context
from tasks.text_to_audio.model import TextToAudio
from tasks.train_text_to_audio.spec import Settings

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_EVERY_S = 30.0


class Loop:
    """Runs a fixed number of gradient steps; every batch hangs on (seed, phase, step), so a resumed run equals an uninterrupted one."""

    def __init__(self, context: Context, phase: str, steps: int, parameters: list[torch.nn.Parameter], rate: float, seed: int) -> None:
        self.context, self.phase, self.steps, self.seed, self.rate = context, phase, steps, seed, rate
        self.parameters = parameters
        self.optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.99), weight_decay=1e-3)
        self.losses: list[float] = []

    def learning_rate(self, step: int) -> float:
        """Return the rate at a step: linear warm-up over 3 %, then a cosine down to 5 %."""
        warm = max(1, round(0.03 * self.steps))
        return self.rate * min(1.0, (step + 1) / warm) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))

    def run(
        self, start: int, loss_of: Callable[[torch.Generator], torch.Tensor], after: Callable[[], None], save: Callable[[int], None]
    ) -> None:
        """Step from ``start`` to the end; ``after`` runs after each step, ``save`` writes a checkpoint now and then."""
        saved = time.monotonic()
        for step in range(start, self.steps):
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step * 2 + (self.phase == "diffusion"))
            torch.manual_seed(self.seed * 7_919 + step)  # the library draws its dropout masks from the global generator
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate(step)
            loss = loss_of(generator)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            after()
            self.losses.append(float(loss.detach()))
            self._report(step)
            if time.monotonic() - saved > CHECKPOINT_EVERY_S:
                save(step + 1)
                saved = time.monotonic()

    def _report(self, step: int) -> None:
        self.context.progress(step + 1, self.steps, f"{self.phase} steps")
        if (step + 1) % 25 == 0:
            self.context.metric(f"{self.phase}_loss", sum(self.losses[-25:]) / len(self.losses[-25:]), step + 1)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"optimizer": self.optimizer.state_dict(), "losses": self.losses}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses = list(state["losses"])


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    with atomic.replacing(folder / CHECKPOINT) as temporary:
        torch.save(state, temporary)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the checkpoint of an interrupted run, tensors and plain values only."""
    path = folder / CHECKPOINT
    return dict(torch.load(path, weights_only=True, map_location="cpu")) if path.is_file() else None


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
    """Return the mean squared error of the objective of section 1.3 of the Synthio specification.

    v: z_t = cos(πt/2)·z + sin(πt/2)·ε, target cos·ε − sin·z. Rectified flow: z_t = (1−t)·z + t·ε, target ε − z.
    """
    device = latents.device
    t = torch.rand(len(latents), generator=generator).to(device)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    if settings.objective == "v":
        alpha, sigma = torch.cos(t * math.pi / 2)[:, None, None], torch.sin(t * math.pi / 2)[:, None, None]
        noised, target = alpha * latents + sigma * noise, alpha * noise - sigma * latents
    else:
        noised, target = (1 - t[:, None, None]) * latents + t[:, None, None] * noise, noise - latents
    conditioning = model.conditioning(prompts, seconds, str(device))
    predicted = model.model(noised, t, cond=conditioning, cfg_dropout_prob=settings.cfg_dropout)
    return torch.nn.functional.mse_loss(predicted, target)
