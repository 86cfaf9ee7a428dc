"""Fine-tunes the proxy if asked to, trains, and writes the best weights, curves and what was done."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from core import atomic
from core.context import Context
from core.contract import to_dict
from tasks.matmul import use_fast_float32
from tasks.preset_encoders.encoder import PresetEncoder, parameter_count
from tasks.preset_encoders.examples import digest
from tasks.presets.reading import PresetSet
from tasks.sound_matching import proxy as proxies
from tasks.sound_matching import recipes
from tasks.sound_matching.estimator import Estimator
from tasks.sound_matching.examples import Sounds, open_sounds
from tasks.sound_matching.fitting import WEIGHTS, Trainee
from tasks.sound_matching.proxy import FineTuning
from tasks.sound_matching.recipes import PROXY_RATES, Plan
from tasks.sound_matching.rerendering import circumstances, open_studio
from tasks.train_sound_matcher.spec import Request, Result
from tasks.training.loop import CHECKPOINT, thinned
from tasks.training.start import repeatable

TUNED = "fine_tuning.json"
"""Errors of the proxy before and after, kept for an attempt that goes on behind it."""
NOT_OF_THE_PLAN = ("preset", "val_share", "proxy_epochs", "proxy_learning_rate", "proxy_batch_presets", "proxy_warm_up_share")
"""Settings that are no entry of a plan."""


def run(request: Request, context: Context) -> Result:
    """Train one estimator with one seed."""
    repeatable(context)
    settings = request.settings
    val = context.resolve(request.val) if request.val else None
    first, second, rows = open_sounds(context.resolve(request.train), val, request.seed, settings.val_share)
    use_fast_float32(context.device, first.layout.size + 1)
    proxy, errors = _proxy(request, context, (first, second), rows) if request.proxy else (None, (None, None))
    sounds = [Sounds(presets, some, context.device) for presets, some in zip((first, second), rows, strict=True)]
    changes = {name: value for name, value in vars(settings).items() if name not in NOT_OF_THE_PLAN}
    plan = recipes.plan(settings.preset, first.spec.name, len(rows[0]), **changes)
    torch.manual_seed(request.seed)
    network = Estimator(first.layout.width, plan.channels, plan.mixed, plan.dropout).to(context.device)
    identity = {"digests": [digest(first.folder), digest(second.folder)], "proxy_errors": list(errors)}
    with ExitStack() as stack:
        studio = None
        if plan.val_sounds:
            plugin = str(context.locate(request.plugin)) if request.plugin else request.uri
            studio = stack.enter_context(open_studio(first.spec, circumstances(first.meta), plugin, request.workers))
        trainee = Trainee(plan, network, sounds[0], sounds[1], proxy, studio, request.seed, context, identity)
        trainee.train()
    about = {"seed": request.seed, "schedule": plan.schedule, "trained_on": identity["digests"]}
    trainee.finish(about)
    result = _result(request, plan, trainee, errors)
    _write(trainee, plan, request, result)
    for name in (CHECKPOINT, TUNED):
        (context.output / name).unlink(missing_ok=True)
    shutil.rmtree(context.output / WEIGHTS, ignore_errors=True)
    return result


def _proxy(
    request: Request, context: Context, sets: tuple[PresetSet, PresetSet], rows: list[Any]
) -> tuple[PresetEncoder, tuple[float | None, float | None]]:
    """Return the proxy, fine-tuned if asked for, and its errors before and after."""
    settings = request.settings
    proxy, history = proxies.open_proxy(context.locate(request.proxy), sets[0], context.device)
    if not settings.proxy_epochs:
        return proxy, (None, None)
    if proxies.tuned_already(context) and (context.output / TUNED).is_file():
        before, after = json.loads((context.output / TUNED).read_text())
        return proxies.open_proxy(context.output / proxies.FOLDER, sets[0], context.device)[0], (before, after)
    rate = settings.proxy_learning_rate or PROXY_RATES.get(sets[0].spec.name, PROXY_RATES["dexed"])
    how = FineTuning(settings.proxy_epochs, rate, settings.proxy_batch_presets, settings.proxy_warm_up_share, request.seed, tuple(history))
    proxy, before, after = proxies.fine_tune(proxy, sets, rows, how, context)
    atomic.write_json(context.output / TUNED, [before, after])
    context.log(f"fine-tuned the proxy: L1 {before:.4g} → {after:.4g} on {len(rows[1])} validation presets")
    return proxy, (before, after)


def _result(request: Request, plan: Plan, trainee: Trainee, errors: tuple[float | None, float | None]) -> Result:
    progress = trainee.progress
    seen = {name: {int(step): value for step, value in curve}.get(progress.best_step) for name, curve in progress.looks.items()}
    return Result(
        schedule=plan.schedule, seed=request.seed, parameters=parameter_count(trainee.network), train_presets=plan.rows,
        val_presets=len(trainee.val), steps=plan.steps, best_step=progress.best_step, val_a_mean=seen.get("val_a_mean"),
        val_mae=seen.get("val_mae"), val_switch_accuracy=seen.get("val_switch_accuracy"),
        val_category_accuracy=seen.get("val_category_accuracy"), val_proxy_loss=seen.get("val_proxy_loss"), proxy_l1_before=errors[0],
        proxy_l1_after=errors[1],
    )  # fmt: skip


def _write(trainee: Trainee, plan: Plan, request: Request, result: Result) -> None:
    """Write everything that later stages and people read."""
    folder = trainee.context.output
    curves: dict[str, Any] = {name: thinned(values) for name, values in trainee.loop.curves.items()}
    atomic.write_json(folder / "curves.json", {**curves, **trainee.progress.looks})
    about = {
        "settings": to_dict(request.settings), "plan": to_dict(plan), "synth": trainee.layout.spec.name, "proxy": request.proxy,
        "audio_model": trainee.train_sounds.set.meta["audio_model"], "trained_on": trainee.identity["digests"],
    }  # fmt: skip
    means = {name: float(np.mean(values)) for name, values in trainee.loop.curves.items() if name.endswith("_weight")}
    atomic.write_json(folder / "training.json", {**to_dict(result), **about, "mean_weights": means})
