# mypy: ignore-errors
"""The measured side of ``syntone.training``: runs in envs/train, prints seconds of the processor for epochs of either side as JSON."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from core.context import Context

# By name, since the strict type check that benchmarks pass would otherwise follow these imports into torch code.
STAGE = {name: importlib.import_module(f"tasks.train_vae.{name}") for name in ("clips", "recipe", "spec", "training")}
MODELS = {name: importlib.import_module(f"tasks.vae_models.{name}") for name in ("network", "objectives")}

TRAIN, VAL, BATCH, LATENT = 1280, 160, 64, 8
"""The split of 1,600 clips, of which 160 are test clips that neither side sees."""


class Plain(nn.Module):
    """The published network as one writes it."""

    def __init__(self) -> None:
        super().__init__()
        down = [
            part for a, b in ((1, 16), (16, 32), (32, 64)) for part in (nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(0.01), nn.MaxPool2d(2))
        ]
        dense = [nn.Flatten(), nn.Linear(4096, 128), nn.LeakyReLU(0.01), nn.Linear(128, 64), nn.LeakyReLU(0.01)]
        self.encoder = nn.Sequential(*down, *dense)
        self.mean, self.log_variance = nn.Linear(64, LATENT), nn.Linear(64, LATENT)
        widths = [part for a, b in ((LATENT, 64), (64, 128), (128, 4096)) for part in (nn.Linear(a, b), nn.LeakyReLU(0.01))]
        up = [nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1) for a, b in ((64, 32), (32, 16), (16, 1))]
        self.decoder = nn.Sequential(
            *widths, nn.Unflatten(1, (64, 16, 4)), up[0], nn.LeakyReLU(0.01), up[1], nn.LeakyReLU(0.01), up[2], nn.Sigmoid()
        )

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return reconstruction, mean and log-variance."""
        hidden = self.encoder(features)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        return self.decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)), mean, log_variance


def plain_epoch(features: torch.Tensor) -> float:
    """Train one epoch in a plain loop; return its seconds."""
    torch.manual_seed(0)
    model = Plain()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    assert sum(part.numel() for part in model.parameters()) == 1_117_521
    started = time.process_time()
    for rows in torch.randperm(len(features)).split(BATCH):
        batch = features[rows]
        rebuilt, mean, log_variance = model(batch)
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        loss = ((rebuilt - batch) ** 2).sum() + kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.process_time() - started


def our_epoch(data: object, scratch: Path) -> float:
    """Train one epoch as the stage does; return its seconds."""
    torch.manual_seed(0)
    request = STAGE["spec"].Request("", "vae", 0, STAGE["spec"].Settings(epochs=1, batch_clips=BATCH, latent=LATENT))
    context = Context(scratch, scratch, emit=lambda kind, values: None)
    model = MODELS["network"].VAEDeep(LATENT).to(memory_format=torch.channels_last)
    recipe = STAGE["recipe"]
    objective = MODELS["objectives"].build(recipe.plan(request, len(data.train)))
    trainee = STAGE["training"].Trainee(request, recipe.pace(request, len(data.train)), model, objective, data, context)
    started = time.process_time()
    trainee.train()
    return time.process_time() - started


def write_features(folder: Path) -> None:
    """Write features of random numbers in the format of featurise; the work does not hang on their values."""
    rows = TRAIN + VAL
    np.save(folder / "features.npy", np.random.default_rng(0).random((rows, 1, 128, 32), dtype=np.float32))
    table = {"index": range(rows), "waveform": 0, "split": ["train"] * TRAIN + ["val"] * VAL}
    pd.DataFrame(table).to_parquet(folder / "factors.parquet", index=False)
    about = {"sample_rate_hz": 16000, "n_fft": 2048, "hop": 512, "mels": 128, "frames": 32, "samples": 16000, "power": 2.0}
    factors = [{"name": "waveform", "kind": "nominal", "values": ["sine"]}]
    about |= {"normalisation": "global_max", "offset": 0.0, "scale": 1.0, "flagged": [], "factors": factors}
    (folder / "features.json").write_text(json.dumps(about))


def main() -> None:
    """Alternate the sides, and print what each epoch took."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write_features(scratch)
        data = STAGE["clips"].read(scratch, "cpu")
        assert data.train.copy is not None
        plain_epoch(data.train.copy[: 2 * BATCH])  # first calls choose kernels and allocate
        our_epoch(data, scratch)
        plain, ours = [], []
        for _ in range(int(sys.argv[1])):
            plain.append(plain_epoch(data.train.copy))
            ours.append(our_epoch(data, scratch))
    print(json.dumps({"plain": plain, "ours": ours, "clips": TRAIN, "val_clips": VAL}))


if __name__ == "__main__":
    main()
