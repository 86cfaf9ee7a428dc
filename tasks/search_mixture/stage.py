"""Runs a wave of trials, each a short training of the arm, and writes all trials so far and what is best among them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import optuna

from core import atomic, tables
from core.context import Context
from core.contract import build, load_spec, to_dict
from core.errors import InvalidValueError
from tasks.ast_classifier import clips
from tasks.ast_classifier.mixture import CHOICE, Mixture, of_request
from tasks.ast_classifier.recipe import contrastive_recipe, recipe
from tasks.ast_classifier.training import CHECKPOINT, SUPCON_CHECKPOINT, fit, prepared
from tasks.search_mixture import space
from tasks.search_mixture.spec import Request, Result
from tasks.searching.progress import of_trial
from tasks.searching.sampling import proposal, remembered
from tasks.training.start import repeatable

TRIAL, TRIALS, TABLE, CURVES = "trial.json", "trials.json", "table", "curves.json"


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the clips once, then try out the given trials of the wave one by one."""
    repeatable(context)
    training = arm_training(request)
    loaded = clips.candidates(training, context, ("val",))
    training = shortened(training, request, loaded.split.gold_size)
    earlier = told_before(request, context)
    for place, shard in enumerate(shards):
        with context.shard(shard) as folder:
            inner = of_trial(context, place, len(shards), "steps of these trials")
            found = try_out(request.first + shard, earlier, training, loaded, request, replace(inner, output=folder))
            for name in (CHECKPOINT, SUPCON_CHECKPOINT):
                (folder / name).unlink(missing_ok=True)
            atomic.write_json(folder / TRIAL, found)
            context.metric("trial_val_score", found["val_score"], found["number"])


def arm_training(request: Request) -> Any:
    """Return the arm's training as a request of ``train_ast``."""
    spec = load_spec("train_ast")
    sources = [to_dict(source) for source in request.sources]
    return build(
        spec.Request,
        {"train": request.train, "evaluation": request.evaluation, "arm": request.arm, "seed": request.settings.seed, "gold": request.gold,
         "sources": sources, "settings": {**request.classifier, "pretrained": request.pretrained}},
        "search_mixture.classifier",
    )  # fmt: skip


def shortened(training: Any, request: Request, gold_size: int) -> Any:
    """Return the training with the steps of a trial, looked at as often as the search says."""
    settings, own = request.settings, training.settings
    steps = max(settings.looks, round(settings.step_share * recipe(own, gold_size).steps))
    first = max(1, round(settings.step_share * contrastive_recipe(own, gold_size)[0].steps)) if own.supcon == "two_stage" else 0
    return replace(training, settings=replace(own, steps=steps, supcon_steps=first, evaluate_every=-(-steps // settings.looks)))


def told_before(request: Request, context: Context) -> list[dict[str, Any]]:
    """Return the trials of the earlier waves."""
    if not request.previous:
        return []
    return list(json.loads((context.resolve(request.previous) / TRIALS).read_text(encoding="utf-8")))


def try_out(
    number: int, earlier: list[dict[str, Any]], training: Any, loaded: clips.Candidates, request: Request, context: Context
) -> dict[str, Any]:
    """Train once and return what is to be told of it.

    Args:
        number: of the trial.
        earlier: the trials of the waves before, which alone it knows of.
        training: the short training, as a request of ``train_ast``.
        loaded: all clips.
        request: of the search.
        context: to write and report to.
    """
    settings, ranges = request.settings, space.space(request)
    tried = proposal(number, earlier, ranges, space.default(request), settings.startup_trials, settings.seed)
    mixed = space.mixture(tried, request) if number else of_request(training)
    looks: list[list[float]] = []
    told = {"number": number, "state": "complete", "value": -1.0, "val_score": 0.0, "best_step": 0, "tried": tried, **asdict(mixed),
            "looks": looks, "clips": {}, "ended": ""}  # fmt: skip
    try:
        split = loaded.mixed(mixed)
    except InvalidValueError as error:
        if error.where != clips.NO_CLIPS:
            raise
        return {**told, "state": "pruned", "ended": "keeps no clip"}
    told["clips"] = counted(loaded, mixed, request)
    trial = _judge(number, earlier, ranges, tried, request)
    trainee = prepared(training, split, context)

    def watch(value: float, step: int) -> None:
        looks.append([step, round(value, 8)])
        trial.report(value, step)
        if number and trial.should_prune():
            told["ended"] = f"below the median of earlier trials after {step} steps"
            raise optuna.TrialPruned

    trainee.watch = watch
    try:
        best_step, curve, _ = fit(trainee, context)
    except optuna.TrialPruned:
        step, value = max(looks, key=lambda look: look[1])
        return {**told, "state": "pruned", "value": value, "val_score": round(max(0.0, value), 6), "best_step": int(step)}
    score = next(point["val_score"] for point in curve if point["step"] == best_step)
    return {**told, "value": max(value for _, value in looks), "val_score": score, "best_step": best_step}


def _judge(
    number: int, earlier: list[dict[str, Any]], ranges: dict[str, Any], tried: dict[str, Any], request: Request
) -> optuna.Trial:  # fmt: skip
    """Return an Optuna trial that knows the earlier waves and says when to end."""
    study = remembered(earlier, ranges, request.settings.pruner, request.settings.pruner_judges)
    study.enqueue_trial(tried)
    return study.ask(ranges)


def counted(loaded: clips.Candidates, mixed: Mixture, request: Request) -> dict[str, int]:
    """Return how many clips of each source a mixture trains on."""
    folders = loaded.table["folder"][clips.kept(loaded.table, loaded.request, mixed)]
    found = {"gold": int((folders == request.gold).sum())} if request.gold in request.train else {}
    return found | {source.name: int(folders.isin(source.folders).sum()) for source in request.sources}


def run(request: Request, context: Context) -> Result:
    """Put this wave's trials behind the earlier ones, and choose.

    Returns:
        how the search stands: of equally good trials the first one is chosen, so that the arm's own mixture wins ties.
    """
    new = [json.loads((context.shard_folder(shard) / TRIAL).read_text(encoding="utf-8")) for shard in range(request.shards)]
    told = [*told_before(request, context), *new]
    finished = [one for one in told if one["state"] == "complete"]
    best = max(finished, key=lambda one: (one["value"], -one["number"]))
    several = bool(request.classifier["label_separator"])
    chosen = {name: best[name] for name in ("gold_fraction", "weights", "score", "bound")}
    untuned = told[0]["val_score"]
    atomic.write_json(context.output / TRIALS, told)
    atomic.write_json(context.output / CURVES, {str(one["number"]): one["looks"] for one in told})
    atomic.write_json(
        context.output / CHOICE,
        {"arm": request.arm, "trial": best["number"], "val_score": best["val_score"], "untuned_val_score": untuned, "trials": len(told),
         "clips": best["clips"], **chosen},
    )  # fmt: skip
    tables.write_rows(context.output / TABLE, [_row(one, best["number"], request) for one in told])
    context.metric("best_val_score", best["val_score"], len(told))
    return Result(
        arm=request.arm, metric="mAP" if several else "accuracy", trials=len(told), finished=len(finished),
        pruned=len(told) - len(finished), best_trial=best["number"], val_score=best["val_score"], untuned_val_score=untuned,
        **chosen,
    )  # fmt: skip


def _row(one: dict[str, Any], best: int, request: Request) -> dict[str, str]:
    """Return a trial as a row of the table that a person reads."""
    fraction = one["gold_fraction"]
    return {
        "trial": str(one["number"]), "chosen": "chosen" if one["number"] == best else "", "state": one["state"],
        "others per gold": f"{(1 - fraction) / fraction:.2f}" if fraction and request.gold in request.train else "–",
        "filter": f"{one['score']} {one['bound']:.3g}" if one["score"] else "as filtered",
        "weights": ", ".join(f"{name} {weight:.2g}" for name, weight in sorted(one["weights"].items())) or "by clips",
        "clips": ", ".join(f"{name} {count}" for name, count in one["clips"].items()), "val": f"{100 * one['val_score']:.1f}",
        "step": str(one["best_step"]), "ended": one["ended"],
    }  # fmt: skip
