"""The two optimisations, contrastive stage and classifier, on one loop that resumes at a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ASTForAudioClassification

from core import atomic
from core.context import Context
from tasks.ast_classifier import scoring
from tasks.ast_classifier.asked import Request
from tasks.ast_classifier.augmentation import alter, mix, stretches
from tasks.ast_classifier.clips import Split
from tasks.ast_classifier.model import build_model, encode
from tasks.ast_classifier.recipe import Pace, Recipe, contrastive_recipe, crop, recipe
from tasks.ast_classifier.supcon import Projection, draw_views, positive_pairs, whole_batch_loss
from tasks.matmul import number_format, use_fast_float32
from tasks.training.distributed import (
    average_gradients,
    barrier,
    broadcast_model,
    broadcast_number,
    is_main,
    mean_over_ranks,
    own_part,
)
from tasks.training.dropout import expect_batch
from tasks.training.loop import AveragedWeights

CHECKPOINT, SUPCON_CHECKPOINT = "checkpoint.pt", "supcon_checkpoint.pt"
CHECKPOINT_EVERY = 50
"""Steps between two checkpoints."""
SUPCON_STREAM = 1 << 40
"""Added to the seed of the contrastive stage's steps, so that they are not the classifier's."""

Loss = tuple[Tensor | None, int, int]
"""Mean loss over this rank's part of a batch (None when that is empty), the rows in it, and those of the whole batch."""

Hooks = tuple[Callable[[dict[str, Any], int], None], Callable[[dict[str, Any], float], None]]
"""What is called with the state and the step after each step, and with the state and the mean loss now and then and at the end."""


@dataclass
class Trainee:
    """What a training works on."""

    model: ASTForAudioClassification
    projection: Projection | None
    """Head of the contrastive loss; None without."""
    split: Split
    plan: Recipe
    frames: int
    """Frames of a stretch; the target length for whole clips."""
    request: Request
    device: str
    watch: Callable[[float, int], None] = lambda value, step: None
    """Told the value of every look at the validation clips, what a step is selected by; may raise to end the training."""

    def encode(self, banks: Tensor) -> Tensor:
        """Return encodings of features, float32 on the device, computed in the precision that was asked for."""
        with number_format(self.device, self.request.settings.precision):
            return encode(self.model, banks.to(self.device)).float()


def draw_batch(
    total: int, gold: int, size: int, gold_fraction: float, generator: torch.Generator, shares: Sequence[tuple[float, Tensor]] = ()
) -> Tensor:
    """Return the clips of one batch: a fixed share of gold ones where there are gold clips and others.

    Args:
        total: clips there are.
        gold: how many of them, the first ones, are gold.
        size: clips of the batch.
        gold_fraction: share of gold ones.
        generator: where the random numbers come from.
        shares: weight and clips of each source; the other places go to sources by weight, then to any clip of the source. Empty: to any
            clip of all.
    """
    wanted = 0 if gold == 0 else size if gold == total else round(size * gold_fraction)
    if gold == total or not shares:
        parts = [(0, gold, wanted), (gold, total, size - wanted)]
        return torch.cat([torch.randint(low, high, (count,), generator=generator) for low, high, count in parts if low < high])
    of_gold = torch.randint(0, max(1, gold), (wanted,), generator=generator)
    weights = torch.tensor([weight for weight, _ in shares], dtype=torch.float64)
    sources = torch.multinomial(weights, size - wanted, replacement=True, generator=generator) if size > wanted else torch.empty(0).long()
    places = torch.rand(len(sources), generator=generator, dtype=torch.float64)
    drawn = [shares[source][1] for source in sources.tolist()]
    others = [rows[int(place * len(rows))] for rows, place in zip(drawn, places.tolist(), strict=True)]
    return torch.cat([of_gold, torch.stack(others)]) if others else of_gold


def batch_loss(trainee: Trainee, step: int) -> Loss:
    """Return the classifier's loss, with the contrastive one added where they are trained together.

    Clips and augmentation hang on (seed, step) only, so a resumed run goes on as it would have. They are drawn for the whole batch
    on every rank and then cut, so that they do not hang on the number of ranks either.
    """
    settings, plan, split = trainee.request.settings, trainee.plan, trainee.split
    generator = torch.Generator().manual_seed(trainee.request.seed * 1_000_003 + step)
    torch.manual_seed(trainee.request.seed * 7_919 + step)  # dropout
    rows = draw_batch(len(split.train.clip_ids), split.gold_clips, plan.batch_clips, split.gold_fraction, generator, split.shares)
    banks = stretches(split.train.banks, split.train.lengths, rows, trainee.frames, plan.augmentation.roll, generator)
    whole = split.train.targets[rows]
    banks, targets = mix(alter(banks, plan.augmentation, generator), whole, plan.mixup, generator)
    banks, targets = own_part(banks), own_part(targets)
    if not len(banks) and trainee.projection is None:
        return None, 0, len(rows)
    expect_batch(trainee.model, len(rows))
    vectors = trainee.encode(banks)
    loss = scoring.loss(trainee.model.classifier(vectors), targets.to(trainee.device), bool(split.separator), plan.label_smoothing)
    if trainee.projection is not None:
        positives = positive_pairs(whole)
        loss = loss + settings.supcon_weight * whole_batch_loss(trainee.projection, vectors, positives, settings.supcon_temperature)
    return loss, len(banks), len(rows)


def prepared(request: Request, split: Split, context: Context) -> Trainee:
    """Return a network with its first weights, ready to be trained on a split."""
    settings = request.settings
    plan, frames = recipe(settings, split.gold_size), crop(settings, split.target_frames)
    torch.manual_seed(request.seed)
    model = build_model(settings, len(split.classes), frames).to(context.device)
    use_fast_float32(context.device, model.audio_spectrogram_transformer.embeddings.position_embeddings.shape[1])
    projection = Projection(model.config.hidden_size).to(context.device) if settings.supcon == "joint" else None
    return Trainee(model, projection, split, plan, frames, request, context.device)


def fit(trainee: Trainee, context: Context) -> tuple[int, list[dict[str, float]], list[dict[str, float]]]:
    """Train to the end, the contrastive stage first where there is one; leaves the best weights in the model.

    Returns:
        The selected step, and on rank 0 the curves of the classifier and of the contrastive stage.
    """
    contrastive = contrast(trainee, context) if trainee.request.settings.supcon == "two_stage" else []
    best_step, curve = train(trainee, context)
    return best_step, curve, contrastive


def train(trainee: Trainee, context: Context) -> tuple[int, list[dict[str, float]]]:
    """Train the classifier to the end; leaves the weights with the best validation score in the model, on every rank.

    Returns:
        The selected step, and on rank 0 the curve.
    """
    model = trainee.model
    trained = nn.ModuleDict({"model": model} | ({"projection": trainee.projection} if trainee.projection else {}))
    broadcast_model(trained)  # before the first weights are kept
    averages = AveragedWeights(dict(model.named_parameters()), trainee.plan.ema_decay)
    judged = copy.deepcopy(model)
    state = {"best": -1.0, "best_step": 0, "weights": copy.deepcopy(model.state_dict()), "averages": averages.values}

    def after(state: dict[str, Any], step: int) -> None:
        """Take the step's weights into their averages, which a checkpoint keeps."""
        averages.values = state["averages"]
        averages.update(step)

    def look(state: dict[str, Any], loss: float) -> None:
        """Let rank 0 look at the validation clips; every rank keeps the averaged weights when they are the best so far."""
        judged.load_state_dict({**model.state_dict(), **state["averages"]})
        best = _evaluate(replace(trainee, model=judged), loss, state, context) if is_main() else False
        if broadcast_number(best):
            state["best_step"], state["weights"] = state["step"], copy.deepcopy(judged.state_dict())

    def loss_at(step: int) -> Loss:
        return batch_loss(trainee, step)

    state = descend(trained, loss_at, trainee.plan, state, (after, look), CHECKPOINT, "steps", trainee, context)
    model.load_state_dict(state["weights"])
    return int(state["best_step"]), state["curve"]


def _evaluate(trainee: Trainee, loss: float, state: dict[str, Any], context: Context) -> bool:
    """Add a point to the curve and return whether it is the best so far (ties: lower validation loss)."""
    val, several = trainee.split.val, bool(trainee.split.separator)
    probabilities = scoring.predict(trainee.model, val, trainee.frames, several, trainee.request.settings.precision, trainee.device)
    found, accuracy = scoring.score(probabilities, val.targets, several), scoring.accuracy(probabilities, val.targets, several)
    val_loss = scoring.validation_loss(probabilities, val.targets, several)
    point = {"step": state["step"], "loss": round(loss, 5), "val_accuracy": accuracy, "val_loss": round(val_loss, 5), "val_score": found}
    state["curve"].append(point)
    context.metric("val_mAP" if several else "val_accuracy", found, state["step"])
    value = found - 1e-3 * val_loss
    better = value > state["best"]
    state["best"] = max(state["best"], value)
    trainee.watch(value, state["step"])
    return better


def contrast(trainee: Trainee, context: Context) -> list[dict[str, float]]:
    """Train the encoder on the contrastive loss alone; there is nothing to select by, the last weights count.

    Returns:
        On rank 0 the curve of the loss.
    """
    settings, split = trainee.request.settings, trainee.split
    pace, augmentation = contrastive_recipe(settings, split.gold_size)
    projection = Projection(trainee.model.config.hidden_size).to(trainee.device)
    trained = nn.ModuleDict({"encoder": trainee.model.audio_spectrogram_transformer, "projection": projection})
    broadcast_model(trained)

    def loss_at(step: int) -> Loss:
        generator = torch.Generator().manual_seed(SUPCON_STREAM + trainee.request.seed * 1_000_003 + step)
        torch.manual_seed(SUPCON_STREAM + trainee.request.seed * 7_919 + step)  # dropout
        rows, groups = draw_views(split.groups, split.gold_clips, pace.batch_clips, settings.supcon_views, generator)
        banks = stretches(split.train.banks, split.train.lengths, rows, trainee.frames, augmentation.roll, generator)
        own = own_part(alter(banks, augmentation, generator))
        expect_batch(trainee.model, len(rows))
        positives = positive_pairs(split.train.targets[rows], groups)
        loss = whole_batch_loss(projection, trainee.encode(own), positives, settings.supcon_temperature)
        return loss, len(own), len(rows)

    def look(state: dict[str, Any], loss: float) -> None:
        state["curve"].append({"step": state["step"], "supcon_loss": round(loss, 5)})
        if is_main():
            context.metric("supcon_loss", loss, state["step"])

    state = descend(trained, loss_at, pace, {}, (lambda state, step: None, look), SUPCON_CHECKPOINT, "contrastive steps", trainee, context)
    return list(state["curve"])


def descend(
    trained: nn.Module, loss_at: Callable[[int], Loss], pace: Pace, extra: dict[str, Any],
    hooks: Hooks, checkpoint: str, unit: str, trainee: Trainee, context: Context,
) -> dict[str, Any]:  # fmt: skip
    """Take the steps of one optimisation, resuming at a checkpoint; the last step leaves one too.

    Args:
        trained: what has the weights.
        loss_at: gives the loss of a step.
        pace: steps, rates and the optimizer's numbers.
        extra: what the state of a fresh start holds beside ``step`` and ``curve``.
        hooks: what to call after each step, and every ``evaluate_every`` steps.
        checkpoint: file name below the output folder.
        unit: what progress is counted in.
        trainee: settings and device.
        context: where to write and report.

    Returns:
        The state after the last step.
    """
    fused = torch.device(trainee.device).type in ("cpu", "cuda")
    parameters = list(trained.parameters())
    optimizer = torch.optim.Adam(
        parameters, lr=pace.learning_rate, betas=pace.betas, weight_decay=pace.weight_decay,
        decoupled_weight_decay=pace.decoupled_decay, fused=fused,
    )  # fmt: skip
    path = context.output / checkpoint
    state = _resume(trained, optimizer, {"step": 0, "curve": [], **extra}, path, unit, context)
    for step in range(state["step"], pace.steps):
        for group in optimizer.param_groups:
            group["lr"] = pace.rate(step)
        trained.train()
        optimizer.zero_grad()
        loss, own, total = loss_at(step)
        if loss is not None:
            loss.backward()
        average_gradients(parameters, own, total)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        hooks[0](state, step)
        state["step"] = step + 1
        last = step + 1 == pace.steps
        if last or (step + 1) % trainee.request.settings.evaluate_every == 0:
            hooks[1](state, mean_over_ranks(0.0 if loss is None else float(loss.detach()), own, total))
        if is_main() and (last or (step + 1) % CHECKPOINT_EVERY == 0):
            with atomic.replacing(path) as temporary:
                torch.save({**state, "trained": trained.state_dict(), "optimizer": optimizer.state_dict()}, temporary)
        context.progress(step + 1, pace.steps, unit)
    return state


def _resume(
    trained: nn.Module, optimizer: torch.optim.Optimizer, fresh: dict[str, Any], path: Path, unit: str, context: Context
) -> dict[str, Any]:
    """Return the state to go on from: a checkpoint's, written with whatever number of ranks, or that of a fresh start."""
    state = fresh
    if broadcast_number(path.is_file()):  # rank 0's word: all resume or none
        state = torch.load(path, weights_only=True, map_location=next(trained.parameters()).device)
        trained.load_state_dict(state.pop("trained"))
        optimizer.load_state_dict(state.pop("optimizer"))
        context.log(f"resumed at step {state['step']}" + ("" if unit == "steps" else f" of the {unit}"))
    barrier()  # rank 0 writes the next checkpoint only after everyone has read this one
    return state
