"""Trains, selects on validation, predicts the test once, writes weights, predictions and curves."""

from __future__ import annotations

import pandas as pd
from safetensors.torch import save_file
from torch import Tensor

from core import atomic
from core.context import Context
from core.contract import build, to_dict
from tasks.ast_classifier import clips, scoring
from tasks.ast_classifier.mixture import Mixture, chosen, of_request
from tasks.ast_classifier.model import parameter_count
from tasks.ast_classifier.training import CHECKPOINT, SUPCON_CHECKPOINT, Trainee, fit, prepared
from tasks.train_ast.spec import Request, Result
from tasks.training.distributed import broadcast_json, is_main, joined
from tasks.training.start import repeatable, say_ranks


def run(request: Request, context: Context) -> Result:
    """Train one arm with one seed, on this process's device or, started by torchrun, on one for each rank.

    Every rank returns the result; rank 0 alone validates, selects and writes.
    """
    repeatable(context)
    with joined(context.device):
        say_ranks(request.settings.num_devices, context)
        mixture = chosen(context.resolve(request.choice)) if request.choice else of_request(request)
        trainee = prepared(request, clips.read(request, context, mixture), context)
        best_step, curve, contrastive_curve = fit(trainee, context)
        found = to_dict(_score_and_write(trainee, best_step, curve, contrastive_curve, mixture, context)) if is_main() else None
        return build(Result, broadcast_json(found))


def _score_and_write(
    trainee: Trainee,
    best_step: int,
    curve: list[dict[str, float]],
    contrastive_curve: list[dict[str, float]],
    mixture: Mixture,
    context: Context,
) -> Result:
    """Predict the test once with the selected weights, write everything, and remove the checkpoints."""
    split, model, settings = trainee.split, trainee.model, trainee.request.settings
    assert split.test is not None
    several = bool(split.separator)
    val, test = (
        scoring.predict(model, part, trainee.frames, several, settings.precision, trainee.device) for part in (split.val, split.test)
    )
    _write(trainee, val, test, context)
    atomic.write_json(context.output / "curves.json", curve)
    if contrastive_curve:
        atomic.write_json(context.output / "supcon_curve.json", contrastive_curve)
    for name in (CHECKPOINT, SUPCON_CHECKPOINT):
        (context.output / name).unlink(missing_ok=True)
    faults = list(split.faults)
    if settings.supcon == "two_stage" and settings.supcon_legacy_schedule:
        faults.append("supcon_legacy_schedule: the contrastive stage's rate fell every step instead of every epoch")
    return Result(
        val_accuracy=scoring.accuracy(val, split.val.targets, several), val_score=scoring.score(val, split.val.targets, several),
        best_step=best_step, train_clips=len(split.train.clip_ids), gold_clips=split.gold_clips, parameters=parameter_count(model),
        classes=split.classes, faults=tuple(faults), mixture=to_dict(mixture),
        **scoring.tested(test, split.test.targets, split.classes, several),
    )  # fmt: skip


def _write(trainee: Trainee, val: Tensor, test: Tensor, context: Context) -> None:
    """Write weights, configuration, labels and predictions."""
    model, split = trainee.model, trainee.split
    assert split.test is not None
    save_file(
        {name: part.detach().cpu().contiguous().clone() for name, part in model.state_dict().items()}, context.output / "model.safetensors"
    )
    atomic.write_text(context.output / "config.json", model.config.to_json_string())
    atomic.write_json(context.output / "labels.json", list(split.classes))
    parts = (("val", split.val, val), ("test", split.test, test))
    tables = [scoring.table(name, features, found, split.classes, split.separator) for name, features, found in parts]
    with atomic.replacing(context.output / "predictions.parquet") as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary, index=False)
