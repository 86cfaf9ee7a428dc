"""Trains, writes the encoder, curves, some pairs and what was done."""

from __future__ import annotations

from typing import Any

from core import atomic
from core.context import Context
from core.contract import build, to_dict
from tasks.contrastive import encoder as encoders
from tasks.matmul import use_fast_float32
from tasks.train_contrastive import recipe
from tasks.train_contrastive.listen import write_pairs
from tasks.train_contrastive.logs import write_curves, write_events
from tasks.train_contrastive.sources import Recorded, Synthesised, open_source
from tasks.train_contrastive.spec import Request, Result
from tasks.train_contrastive.training import Trainee, collapsed
from tasks.training.distributed import broadcast_json, is_main, joined
from tasks.training.loop import CHECKPOINT, thinned
from tasks.training.start import repeatable, say_ranks


def run(request: Request, context: Context) -> Result:
    """Train one encoder with one seed, on this process's device or, started by torchrun, on one for each rank.

    Every rank returns the result; rank 0 alone looks at held-out pairs and writes.
    """
    repeatable(context)
    use_fast_float32(context.device)
    with joined(context.device):
        say_ranks(request.settings.num_devices, context)
        source = open_source(request, context)
        trainee = Trainee(request, recipe.plan(request.settings), source, context)
        if is_main():
            samples = source.held_out(0, trainee.plan.batch_pairs)[: request.settings.sample_pairs]
            write_pairs(source, samples, trainee.encoder.features, request.settings.sample_rate_hz, context)
        trainee.train()
        if isinstance(source, Synthesised):
            context.log(source.unusual())
        result = broadcast_json(to_dict(_result(trainee)) if is_main() else None)
        if is_main():
            _write(trainee, result)
        return build(Result, result)


def _result(trainee: Trainee) -> Result:
    """Work out the figures of the last weights."""
    plan, curves = trainee.plan, trainee.loop.curves
    last = {name: sum(values[-plan.epoch_steps :]) / len(values[-plan.epoch_steps :]) for name, values in curves.items() if values}
    found = {name: trainee.last_look(f"val_{name}", last.get(name, 1.0)) for name in ("align", "uniform", "spread")}
    saturation = curves.get("saturation", [])
    return Result(
        weights=trainee.encoder.weights(), steps=plan.steps, pairs=plan.steps * plan.batch_pairs, clips=trainee.source.clips,
        loss=last["loss"], align=found["align"], uniform=found["uniform"], spread=found["spread"],
        collapsed=collapsed(found["uniform"], found["spread"]), saturation=sum(saturation) / len(saturation) if saturation else None,
    )  # fmt: skip


def _write(trainee: Trainee, result: dict[str, Any]) -> None:
    """Write everything that later stages read, and remove the checkpoint."""
    request, folder = trainee.request, trainee.context.output
    about = {"seed": request.seed, "settings": to_dict(request.settings), "step": trainee.plan.steps, "data_digest": trainee.source.digest}
    encoders.save(folder, trainee.encoder, about)
    curves: dict[str, Any] = {name: thinned(values) for name, values in trainee.loop.curves.items()}
    write_curves({**curves, **trainee.progress.looks}, folder)
    if request.settings.tensorboard:
        write_events(folder, {**trainee.loop.curves}, trainee.progress.looks, trainee.plan.steps)
    heard = trainee.source.found.ids if isinstance(trainee.source, Recorded) else []
    record = {
        "settings": about["settings"], "plan": to_dict(trainee.plan), "data_digest": trainee.source.digest, "seed": request.seed,
        "alarm_step": trainee.progress.alarm_step or None, "heard": heard,
    }  # fmt: skip
    atomic.write_json(folder / "training.json", {**result, **record})
    (folder / CHECKPOINT).unlink(missing_ok=True)
