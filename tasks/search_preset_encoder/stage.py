"""Runs the trials one by one, each a short training, and writes all of them, the best one's settings and the study's database."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import optuna
import torch

from core import atomic
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.matmul import use_fast_float32
from tasks.preset_encoders import encoder as encoders
from tasks.preset_encoders import recipes
from tasks.preset_encoders.examples import Examples, Splits, open_splits
from tasks.preset_encoders.fitting import Look, Trainee
from tasks.search_preset_encoder import spaces, study
from tasks.search_preset_encoder.spec import Request, Result
from tasks.searching import sampling
from tasks.searching.progress import of_trial
from tasks.training.start import repeatable

BROKEN = ("training", "ranking.queries", "ranking.candidates")
"""Where errors of trainings that diverged come from."""


def run(request: Request, context: Context) -> Result:
    """Search for one encoder."""
    repeatable(context)
    settings = request.settings
    splits = open_splits(context.resolve(request.train), context.resolve(request.val or request.train), context.device)
    if settings.presets and settings.presets < len(splits.train):
        few = Examples(splits.presets, splits.train.rows[: settings.presets], context.device)
        splits = replace(splits, train=few)
    use_fast_float32(context.device, splits.presets.layout.size + 1)
    space = spaces.space(request.model, settings.preset, settings.tune, settings.sizes)
    found = study.open_study(context.output)
    if found.trials:
        context.log(f"goes on after {len(found.trials)} trials")
    limit = settings.diverged_ratio * constant_loss(splits.train, settings.loss, normalised(request, splits))
    while len(found.trials) < settings.trials:
        number = len(found.trials)
        found.sampler = sampling.sampler(number, settings.startup_trials, request.seed)
        found.pruner = sampling.pruner(settings.pruner)
        trial = found.ask(space)
        value = try_out(trial, request, splits, limit, of_trial(context, number, settings.trials, "steps of all trials"))
        if value is None:
            found.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            found.tell(trial, value)
            context.metric("trial_mrr", value, number)
            context.metric("best_mrr", found.best_value, number)
        study.keep(context.output)
    return _close(found, request, context)


def normalised(request: Request, splits: Splits) -> bool:
    """Whether trials are trained on normalised embeddings."""
    plan = recipes.plan(request.model, request.settings.preset, splits.presets.spec.name, len(splits.train))
    return plan.normalise


def constant_loss(examples: Examples, loss: str, normalise: bool) -> float:
    """Return the loss of the one best embedding for all presets: of the median for L1, of the mean for MSE, over up to 65,536 presets."""
    some = torch.arange(min(len(examples), 65_536))
    wanted = examples.batch(some)[1].double().cpu().numpy()
    if normalise:
        middle, spread = (part.double().numpy() for part in examples.statistics())
        wanted = (wanted - middle) / spread
    apart = wanted - (np.median(wanted, 0) if loss == "l1" else wanted.mean(0))
    return float(np.abs(apart).mean() if loss == "l1" else np.square(apart).mean())


def try_out(trial: optuna.Trial, request: Request, splits: Splits, limit: float, context: Context) -> float | None:
    """Train once; returns the validation MRR of the last look, or None when the training diverged or was given up.

    Args:
        trial: what to try.
        request: of the search.
        splits: what is trained on and looked at.
        limit: training loss above which a trial has diverged.
        context: for progress.
    """
    settings = request.settings
    changes = spaces.settings_of(dict(trial.params), dict(settings.sizes), settings.flat_share)
    plan = recipes.plan(
        request.model, settings.preset, splits.presets.spec.name, len(splits.train), **changes, epochs=settings.epochs, loss=settings.loss,
        batch_presets=settings.batch_presets, looks_per_epoch=settings.looks, rankings=settings.rankings, candidates=settings.candidates,
    )  # fmt: skip
    torch.manual_seed(request.seed)
    encoder = encoders.build(plan.model, splits.presets.layout, splits.train.dimensions, **plan.sizes).to(context.device)
    if plan.normalise:
        encoder.set_normalisation(*splits.train.statistics())
    trainee = Trainee(plan, encoder, splits, request.seed, context, {}, keep=False)
    trial.set_user_attr("parameters", encoders.parameter_count(encoder))
    seen = [0]

    def watch(look: Look, done: int) -> None:
        loss = float(np.mean(trainee.loop.losses[seen[0] : done]))
        seen[0] = done
        trial.report(look.mrr, done)
        if not loss <= limit:
            trial.set_user_attr("ended", f"diverged: training loss {loss:.4g} above {limit:.4g} after {done} steps")
            raise optuna.TrialPruned
        if trial.should_prune():
            trial.set_user_attr("ended", f"below the median of earlier trials after {done} steps")
            raise optuna.TrialPruned

    trainee.watch = watch
    try:
        trainee.train()
    except optuna.TrialPruned:
        return None
    except InvalidValueError as error:
        if error.where not in BROKEN:
            raise
        trial.set_user_attr("ended", f"diverged: {error}")
        return None
    return trainee.progress.looks["val_mrr"][-1][1]


def _close(found: optuna.Study, request: Request, context: Context) -> Result:
    """Write what was found.

    Raises:
        InvalidValueError: no trial came to its end.
    """
    settings = request.settings
    states = [trial.state.name for trial in found.trials]
    told = [
        {"number": one.number, "state": one.state.name.lower(), "val_mrr": one.value, "tried": one.params, **one.user_attrs,
         "looks": [[int(step), value] for step, value in sorted(one.intermediate_values.items())]}
        for one in found.trials
    ]  # fmt: skip
    atomic.write_json(context.output / "trials.json", told)
    if "COMPLETE" not in states:
        raise InvalidValueError("every trial diverged", where="search_preset_encoder", allowed="one that does not",
                                received=states, hint="trials.json says why; raise diverged_ratio or epochs")  # fmt: skip
    best = to_dict(spaces.settings_of(found.best_trial.params, dict(settings.sizes), settings.flat_share))
    atomic.write_json(context.output / "best.json", {"model": request.model, "preset": settings.preset, **best})
    result = Result(
        model=request.model, trials=len(states), finished=states.count("COMPLETE"), pruned=states.count("PRUNED"),
        best_trial=found.best_trial.number, best_mrr=found.best_value, best=best,
    )  # fmt: skip
    study.close(context.output)
    return result
