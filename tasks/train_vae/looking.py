"""What is seen of a network without training it: held-out loss and divergences, and the codes of all clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tasks.train_vae.clips import Rows
from tasks.vae_models.gaussians import active_units
from tasks.vae_models.network import VAEDeep
from tasks.vae_models.objectives.base import Objective, pass_through
from tasks.vae_models.total_correlation import decompose

AGGREGATE_ROWS = 512
"""Clips that q(z) is worked out over: [clips, clips, D] numbers."""
BLOCK = 256
"""Clips that are encoded at once. Fixed, so that codes do not hang on a batch size."""


@dataclass(frozen=True)
class Look:
    """Means over the clips looked at."""

    loss: float
    """The method's loss after warm-up, as ``Objective.selection`` says."""
    reconstruction: float
    """Sum of squared errors, of decoded draws."""
    kl: float
    total_correlation: float
    """Of the aggregate of q(z|x) over up to 512 of the clips, evenly spaced, without an estimate by minibatches; in nats."""
    mutual_information: float
    active_units: int


@torch.no_grad()
def look(model: VAEDeep, objective: Objective, rows: Rows, batch: int, generator: torch.Generator) -> Look:
    """Return how the network does on clips.

    Args:
        model: the network; its mode is left as it was.
        objective: gives the loss.
        rows: the clips.
        batch: clips at once, as in training.
        generator: of the codes' noise.
    """
    sums, codes = torch.zeros(3, dtype=torch.float64), []
    for places in torch.arange(len(rows)).split(batch):
        passed = pass_through(model, rows.batch(places), generator)
        found = torch.stack([objective.selection(passed), passed.squared_error, passed.kl]).double().cpu()
        sums += found * (len(places) / len(rows))
        codes.append(torch.stack([passed.codes, passed.mean, passed.log_variance]))
    whole = torch.cat(codes, 1)
    picked = torch.linspace(0, len(rows) - 1, min(len(rows), AGGREGATE_ROWS)).round().long().to(whole.device)
    parts = decompose(*whole[:, picked].unbind())
    loss, error, kl = sums.tolist()
    return Look(loss, error, kl, float(parts.total_correlation), float(parts.mutual_information), active_units(whole[1]))


@torch.no_grad()
def encode_all(model: VAEDeep, array: npt.NDArray[np.float32], device: str) -> tuple[Tensor, Tensor]:
    """Return means and log-variances [clips, D] of all rows of an array, in its order, on the CPU."""
    found = []
    for start in range(0, len(array), BLOCK):
        block = torch.from_numpy(np.array(array[start : start + BLOCK])).to(device)
        found.append(torch.stack(model.encode(block.contiguous(memory_format=torch.channels_last))).cpu())
    mean, log_variance = torch.cat(found, 1).unbind()
    return mean, log_variance


@torch.no_grad()
def reconstruction_error(model: VAEDeep, rows: Rows, mean: Tensor) -> float:
    """Return the sum of squared errors of reconstructions from the codes' means, mean over the clips.

    Args:
        model: the network.
        rows: the clips.
        mean: their codes [clips, D].
    """
    total = 0.0
    for places in torch.arange(len(rows)).split(BLOCK):
        features = rows.batch(places)
        total += float((model.decode(mean[places].to(features.device)) - features).double().square().sum())
    return total / len(rows)
