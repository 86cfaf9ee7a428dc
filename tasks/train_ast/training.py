"""The two optimisations, contrastive stage and classifier, on one loop that resumes at a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ASTForAudioClassification

from core import atomic
from core.context import Context
from tasks.train_ast import scoring
from tasks.train_ast.ast_model import encode, number_format
from tasks.train_ast.augmentation import alter, mix, stretches
from tasks.train_ast.clips import Split
from tasks.train_ast.recipe import Pace, Recipe, contrastive_recipe
from tasks.train_ast.spec import Request
from tasks.train_ast.supcon import Projection, draw_views, positive_pairs, whole_batch_loss
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

    def encode(self, banks: Tensor) -> Tensor:
        """Return encodings of features, float32 on the device, computed in the precision that was asked for."""
        with number_format(self.device, self.request.settings.precision):
            return encode(self.model, banks.to(self.device)).float()


def draw_batch(total: int, gold: int, size: int, gold_fraction: float, generator: torch.Generator) -> Tensor:
    """Return the clips of one batch: a fixed share of gold ones where there are gold clips and others."""
    if gold in (0, total):
        return torch.randint(0, total, (size,), generator=generator)
    wanted = round(size * gold_fraction)
    picked = [torch.randint(0, gold, (wanted,), generator=generator), torch.randint(gold, total, (size - wanted,), generator=generator)]
    return torch.cat(picked)


def batch_loss(trainee: Trainee, step: int) -> Loss:
    """Return the classifier's loss, with the contrastive one added where they are trained together.

    Clips and augmentation hang on (seed, step) only, so a resumed run goes on as it would have. They are drawn for the whole batch
    on every rank and then cut, so that they do not hang on the number of ranks either.
    """
    settings, plan, split = trainee.request.settings, trainee.plan, trainee.split
    generator = torch.Generator().manual_seed(trainee.request.seed * 1_000_003 + step)
    torch.manual_seed(trainee.request.seed * 7_919 + step)  # dropout
    rows = draw_batch(len(split.train.clip_ids), split.gold_clips, plan.batch_clips, settings.gold_fraction, generator)
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
    better = found - 1e-3 * val_loss > state["best"]
    state["best"] = max(state["best"], found - 1e-3 * val_loss)
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
