"""Trains, encodes every clip of the grid with the kept weights, writes weights, codes, curves and what was done."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import atomic
from core.context import Context
from core.contract import to_dict
from tasks.train_vae import clips, recipe
from tasks.train_vae.looking import encode_all, reconstruction_error
from tasks.train_vae.spec import Request, Result
from tasks.train_vae.training import Trainee, collapsed
from tasks.training.loop import CHECKPOINT, thinned
from tasks.training.start import repeatable
from tasks.vae_models import network
from tasks.vae_models.gaussians import active_units, kl_to_prior
from tasks.vae_models.network import VAEDeep
from tasks.vae_models.objectives import build


def run(request: Request, context: Context) -> Result:
    """Train one method with one seed."""
    repeatable(context)
    data = clips.read(context.resolve(request.features), context.device)
    pace, plan = recipe.pace(request, len(data.train)), recipe.plan(request, len(data.train))
    torch.manual_seed(request.seed)
    model = VAEDeep(request.settings.latent, *data.array.shape[2:]).to(context.device, memory_format=torch.channels_last)
    trainee = Trainee(request, pace, model, build(plan).to(context.device), data, context)
    trainee.train()
    mean, log_variance = encode_all(model, data.array, context.device)
    result = _result(trainee, mean, log_variance)
    _write(trainee, result, mean, log_variance)
    (context.output / CHECKPOINT).unlink(missing_ok=True)
    if result.collapsed:
        context.log(f"{request.method}, seed {request.seed}, collapsed: {result.active_units} active units, {result.kl_nats:.3f} nats")
    return result


def _result(trainee: Trainee, mean: Tensor, log_variance: Tensor) -> Result:
    """Work out the figures of the kept weights."""
    request, data, progress = trainee.request, trainee.clips, trainee.progress
    train = torch.from_numpy(data.train.rows)
    kl = float(kl_to_prior(mean[train], log_variance[train]).sum(1).double().mean())
    active, has_val = active_units(mean[train]), len(data.val) > 0
    error = reconstruction_error(trainee.model, data.val, mean[torch.from_numpy(data.val.rows)]) if has_val else None
    return Result(
        method=request.method, seed=request.seed, parameters=network.parameter_count(trainee.model), train_clips=len(data.train),
        steps=trainee.pace.steps, best_step=progress.best_step, val_loss=progress.best_loss if has_val else None, val_reconstruction=error,
        kl_nats=kl, active_units=active, collapsed=collapsed(kl, active), effective_beta=_effective_beta(trainee),
        faults=recipe.faults(request),
    )  # fmt: skip


def _effective_beta(trainee: Trainee) -> float:
    """Return the effective β of the last epoch's first batch: its last one may have fewer clips, which counts in the legacy scale."""
    return trainee.loop.curves["effective_beta"][-trainee.pace.batches]


def _write(trainee: Trainee, result: Result, mean: Tensor, log_variance: Tensor) -> None:
    """Write everything that later stages read."""
    request, data, folder = trainee.request, trainee.clips, trainee.context.output
    network.save(folder, trainee.model, {"method": request.method, "seed": request.seed, "settings": to_dict(request.settings)})
    with atomic.replacing(folder / "codes.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, mean=mean.numpy(), log_variance=log_variance.numpy())
    curves: dict[str, Any] = {name: thinned(values) for name, values in trainee.loop.curves.items()}
    atomic.write_json(folder / "curves.json", {"val_loss": [], **curves, **trainee.progress.looks})
    train = torch.from_numpy(data.train.rows)
    by_code = kl_to_prior(mean[train], log_variance[train]).double().mean(0).tolist()
    about = {
        "settings": to_dict(request.settings), "plan": to_dict(trainee.objective.plan), "pace": to_dict(trainee.pace),
        "features_digest": data.digest, "kl_per_dimension": by_code, "alarm_step": trainee.progress.alarm_step or None,
        "looked_at": "val" if len(data.val) else "train",
    }  # fmt: skip
    atomic.write_json(folder / "training.json", {**to_dict(result), **about})
