"""Trains, writes the selected weights beside the others that were kept, curves and what was done."""

from __future__ import annotations

import json
import shutil
from typing import Any

import torch

from core import atomic
from core.context import Context
from core.contract import build, to_dict
from core.errors import InvalidValueError
from tasks.matmul import use_fast_float32
from tasks.preset_encoders import encoder as encoders
from tasks.preset_encoders import recipes
from tasks.preset_encoders.encoder import MODEL, PresetEncoder
from tasks.preset_encoders.examples import Splits, check_belongs, made_like, open_splits
from tasks.preset_encoders.fitting import Trainee
from tasks.preset_encoders.ranking import chance
from tasks.train_preset_encoder.spec import Request, Result, Settings
from tasks.training.loop import CHECKPOINT, thinned
from tasks.training.start import repeatable

BEST = "best.json"
"""What search_preset_encoder found."""
NOT_OF_THE_PLAN = ("preset", "select")
"""Settings that are no entry of a plan."""


def run(request: Request, context: Context) -> Result:
    """Train one encoder with one seed."""
    repeatable(context)
    splits = open_splits(context.resolve(request.train), context.resolve(request.val or request.train), context.device)
    use_fast_float32(context.device, splits.presets.layout.size + 1)
    changes = {name: value for name, value in vars(settled(request, context)).items() if name not in NOT_OF_THE_PLAN}
    plan = recipes.plan(request.model, request.settings.preset, splits.presets.spec.name, len(splits.train), **changes)
    torch.manual_seed(request.seed)
    encoder = encoders.build(plan.model, splits.presets.layout, splits.train.dimensions, **plan.sizes).to(context.device)
    history = begin(encoder, request, splits, context) if request.start_from else []
    if not request.start_from and plan.normalise:
        encoder.set_normalisation(*splits.train.statistics())
    about: dict[str, Any] = {
        "loss": plan.loss, "seed": request.seed, "made": made_like(splits.presets),
        "trained_on": [*history, *dict.fromkeys(splits.digests)],
    }  # fmt: skip
    trainee = Trainee(plan, encoder, splits, request.seed, context, about)
    trainee.train()
    shutil.copyfile(trainee.weights(_selected(request)), context.output / MODEL)
    result = _result(request, trainee)
    _write(trainee, request, result)
    (context.output / CHECKPOINT).unlink(missing_ok=True)
    return result


def settled(request: Request, context: Context) -> Settings:
    """Return the request's settings, and what a search found where they leave something open.

    Raises:
        InvalidValueError: a search for another encoder, or from another preset.
    """
    if not request.search:
        return request.settings
    found = json.loads((context.resolve(request.search) / BEST).read_text(encoding="utf-8"))
    whose, wanted = (found.pop("model"), found.pop("preset")), (request.model, request.settings.preset)
    if whose != wanted:
        raise InvalidValueError("a search for something else", where="train_preset_encoder.search", allowed=wanted, received=whose)
    own = {name: value for name, value in to_dict(request.settings).items() if value is not None}
    sizes = {**found.get("sizes", {}), **request.settings.sizes}
    return build(Settings, {**found, **own, "sizes": sizes}, "train_preset_encoder.search")


def begin(encoder: PresetEncoder, request: Request, splits: Splits, context: Context) -> list[str]:
    """Set the weights to those of a trained encoder, and return the digests of the sets that it was trained on.

    Raises:
        InvalidValueError: an encoder of another kind, size, synthesiser or audio model.
    """
    other, _, config = encoders.load(context.locate(request.start_from))
    check_belongs(config["made"], splits.presets, "train_preset_encoder.start_from")
    if other.config != encoder.config:
        differing = {name: value for name, value in encoder.config.items() if other.config[name] != value}
        received = {name: other.config[name] for name in differing}
        raise InvalidValueError("an encoder of another kind", where="train_preset_encoder.start_from", allowed=differing, received=received)
    encoder.load_state_dict(other.state_dict())
    return list(config.get("trained_on", []))


def _selected(request: Request) -> str:
    return "last" if request.settings.select == "last" else f"best_{request.settings.select}"


def _result(request: Request, trainee: Trainee) -> Result:
    progress, plan, select = trainee.progress, trainee.plan, request.settings.select
    best_step = plan.steps if select == "last" else progress.best_step[select]
    seen = {name: {int(step): value for step, value in curve}[best_step] for name, curve in progress.looks.items()}
    count, candidates = trainee.members.shape
    return Result(
        model=plan.model, seed=request.seed, parameters=encoders.parameter_count(trainee.encoder), train_presets=plan.rows,
        val_presets=len(trainee.splits.val), steps=plan.steps, best_step=best_step, rankings=count, candidates=candidates,
        chance_mrr=chance(candidates)["mrr"], **seen,
    )  # fmt: skip


def _write(trainee: Trainee, request: Request, result: Result) -> None:
    """Write everything that later stages and people read."""
    folder = trainee.context.output
    curves: dict[str, Any] = {name: thinned(values) for name, values in trainee.loop.curves.items()}
    atomic.write_json(folder / "curves.json", {**curves, **trainee.progress.looks})
    about = {
        "settings": to_dict(request.settings), "plan": to_dict(trainee.plan), "synth": trainee.splits.presets.spec.name,
        "audio_model": trainee.splits.presets.meta["audio_model"], "trained_on": trainee.about["trained_on"],
        "set_digests": list(trainee.splits.digests), "best": trainee.progress.best, "best_step_of": trainee.progress.best_step,
        "start_from": request.start_from,
    }  # fmt: skip
    atomic.write_json(folder / "training.json", {**to_dict(result), **about})
