"""Trains, writes the model, curves and what was done."""

from __future__ import annotations

from typing import Any

from core import atomic
from core.context import Context
from core.contract import build, to_dict
from tasks.matmul import use_fast_float32
from tasks.spatial_model import storage
from tasks.spatial_model.network import weights
from tasks.train_spatial import attribute_training, building, recipe
from tasks.train_spatial.spec import Request, Result
from tasks.train_spatial.training import Trainee
from tasks.training.distributed import broadcast_json, is_main, joined
from tasks.training.loop import CHECKPOINT, thinned
from tasks.training.start import repeatable, say_ranks


def run(request: Request, context: Context) -> Result:
    """Train with one seed, on this process's device or, started by torchrun, on one for each rank.

    Every rank returns the result; rank 0 alone looks at validation and writes.
    """
    request = building.placed(request, context)
    repeatable(context)
    use_fast_float32(context.device)
    with joined(context.device):
        say_ranks(request.settings.num_devices, context)
        if request.settings.task == "attributes":
            return attribute_training.run(request, context)
        sizes = building.shape_of(request)
        material = building.open_material(request, sizes, context)
        plan = recipe.plan(request.settings, len(material.train[0]), len(material.train[1]), sizes, context.device)
        trainee = Trainee(request, plan, building.build_model(request, sizes, material, context.device), material, context)
        trainee.train()
        result = broadcast_json(to_dict(_result(trainee)) if is_main() else None)
        if is_main():
            _write(trainee, result)
        return build(Result, result)


def _result(trainee: Trainee) -> Result:
    """Work out the figures of the kept weights."""
    plan, (sources, spaces) = trainee.plan, trainee.material.train
    if sources.unreadable:
        trainee.context.log(f"{len(sources.unreadable)} training clips could not be decoded; training.json names them")
    last = trainee.loop.losses[-plan.epoch_steps :]
    return Result(
        weights=weights(trainee.model), steps=plan.steps, updates=trainee.loop.updates, best_step=trainee.progress.best_step or plan.steps,
        train_clips=len(sources), train_rirs=len(spaces), unreadable=len(sources.unreadable), loss=sum(last) / max(1, len(last)),
        val_top1=trainee.at_best("val_top1"), val_direction_deg=trainee.at_best("val_direction_deg"),
        faults=recipe.FAULTS if trainee.request.settings.compat else (),
    )  # fmt: skip


def _write(trainee: Trainee, result: dict[str, Any]) -> None:
    """Write everything that later stages read, and remove the checkpoint."""
    request, folder, material = trainee.request, trainee.context.output, trainee.material
    about = {
        "statistics": to_dict(material.statistics),
        "seed": request.seed,
        "settings": to_dict(request.settings),
        "compat": request.settings.compat,
        "trim": trainee.plan.trim,
        "azimuth_sign": "stored" if request.settings.compat else "left_positive",
        "source_label": trainee.plan.source_label,
        "space_label": trainee.plan.space_label,
    }
    storage.save(folder, trainee.model, about)
    curves: dict[str, Any] = {name: thinned(values) for name, values in trainee.loop.curves.items() if values}
    atomic.write_json(folder / "curves.json", {**curves, **trainee.progress.looks})
    record = {
        "plan": to_dict(trainee.plan),
        "data_digest": material.digest,
        "log_variances": trainee.weighting.log_variances.tolist(),
        "scales": [float(scale.detach()) for scale in trainee.model.scales()],
        "unreadable_clips": dict(sorted(material.train[0].unreadable.items())),
    }
    atomic.write_json(folder / "training.json", {**result, **about, **record})
    (folder / CHECKPOINT).unlink(missing_ok=True)
