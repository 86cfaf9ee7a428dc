"""Trains, selects on validation, predicts the test once, writes weights, predictions and curves."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_f1_score
from transformers import ASTForAudioClassification

from core import atomic
from core.context import Context
from core.contract import build, to_dict
from tasks.train_ast import clips
from tasks.train_ast.fbank import augment
from tasks.train_ast.recipe import Recipe, build_model, parameter_count, recipe
from tasks.train_ast.spec import Request, Result, Settings
from tasks.training.distributed import (
    average_gradients,
    barrier,
    broadcast_json,
    broadcast_model,
    broadcast_number,
    is_main,
    joined,
    mean_over_ranks,
    own_part,
    world,
)
from tasks.training.dropout import expect_batch

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_EVERY = 50
"""Steps between two checkpoints."""


def run(request: Request, context: Context) -> Result:
    """Train one arm with one seed, on this process's device or, started by torchrun, on one for each rank.

    Every rank returns the result; rank 0 alone validates, selects and writes.
    """
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    with joined(context.device):
        if world() != request.settings.num_devices:
            context.log(f"num_devices is {request.settings.num_devices}, but torchrun started {world()}; training on {world()}")
        split = clips.read(request, context)
        plan = recipe(request.settings, split.gold_clips)
        torch.manual_seed(request.seed)
        model = build_model(request.settings, len(split.classes), split.target_frames).to(context.device)
        best_step, curve = _train(model, split, plan, request, context)
        found = to_dict(_score_and_write(model, split, best_step, curve, context)) if is_main() else None
        return build(Result, broadcast_json(found))


def _score_and_write(
    model: ASTForAudioClassification, split: clips.Split, best_step: int, curve: list[dict[str, float]], context: Context
) -> Result:
    """Predict the test once with the selected weights, write everything, and remove the checkpoint."""
    val, test = predict(model, split.val.banks, context.device), predict(model, split.test.banks, context.device)
    _write(model, split, val, test, curve, context)
    (context.output / CHECKPOINT).unlink(missing_ok=True)
    number, predicted = len(split.classes), test.argmax(1)
    confusion = multiclass_confusion_matrix(predicted, split.test.labels, number)
    recall = {
        name: round(float(row[i]) / max(1, int(row.sum())), 4) for i, (name, row) in enumerate(zip(split.classes, confusion, strict=True))
    }
    return Result(
        val_accuracy=accuracy(val, split.val.labels), test_accuracy=accuracy(test, split.test.labels), best_step=best_step,
        test_macro_f1=round(float(multiclass_f1_score(predicted, split.test.labels, number, average="macro")), 4),
        train_clips=len(split.train.clip_ids), gold_clips=split.gold_clips, parameters=parameter_count(model), classes=split.classes,
        confusion=tuple(tuple(int(cell) for cell in row) for row in confusion), per_class_accuracy=recall,
    )  # fmt: skip


def accuracy(probabilities: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of clips whose most probable class is theirs."""
    return round(float((probabilities.argmax(1) == labels).float().mean()), 6)


@torch.no_grad()
def predict(model: ASTForAudioClassification, banks: torch.Tensor, device: str) -> torch.Tensor:
    """Return class probabilities [clips, classes]."""
    model.eval()
    parts = [model(input_values=part.to(device)).logits.softmax(-1).cpu() for part in banks.split(32)]
    return torch.cat(parts)


def draw_batch(total: int, gold: int, size: int, gold_fraction: float, generator: torch.Generator) -> torch.Tensor:
    """Return the clips of one batch: a fixed share of gold ones where there are others too."""
    wanted = size if total == gold else round(size * gold_fraction)
    picked = [torch.randint(0, gold, (wanted,), generator=generator)]
    if size > wanted:
        picked.append(torch.randint(gold, total, (size - wanted,), generator=generator))
    return torch.cat(picked)


def batch_loss(
    model: ASTForAudioClassification, split: clips.Split, plan: Recipe, request: Request, step: int, device: str
) -> tuple[torch.Tensor | None, int, int]:
    """Return the mean loss over this rank's part of a batch (None when that is empty), the clips in it, and those of the whole batch.

    Clips and augmentation hang on (seed, step) only, so a resumed run goes on as it would have. They are drawn for the whole batch
    on every rank and then cut, so that they do not hang on the number of ranks either.
    """
    settings, generator = request.settings, torch.Generator().manual_seed(request.seed * 1_000_003 + step)
    torch.manual_seed(request.seed * 7_919 + step)  # dropout
    rows = draw_batch(len(split.train.labels), split.gold_clips, plan.batch_clips, settings.gold_fraction, generator)
    banks, targets = split.train.banks[rows], torch.nn.functional.one_hot(split.train.labels[rows], len(split.classes)).float()
    if plan.augmented:
        banks = torch.stack([augment(part, generator, settings.masked_frames, settings.masked_mels) for part in banks])
        banks, targets = mix(banks, targets, settings, generator)
    banks, targets = own_part(banks), own_part(targets)
    if not len(banks):
        return None, 0, len(rows)
    expect_batch(model, len(rows))
    logits = model(input_values=banks.to(device)).logits
    loss = torch.nn.functional.cross_entropy(logits, targets.to(device), label_smoothing=plan.label_smoothing)
    return loss, len(banks), len(rows)


def mix(banks: torch.Tensor, targets: torch.Tensor, settings: Settings, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each clip with another of the batch (mixup, Zhang et al., 2018) in a share of the batches."""
    if float(torch.rand(1, generator=generator)) >= settings.mixup:
        return banks, targets
    weight = 0.5 + 0.5 * float(torch.rand(1, generator=generator))
    other = torch.randperm(len(banks), generator=generator)
    return weight * banks + (1 - weight) * banks[other], weight * targets + (1 - weight) * targets[other]


def _train(
    model: ASTForAudioClassification, split: clips.Split, plan: Recipe, request: Request, context: Context
) -> tuple[int, list[dict[str, float]]]:
    """Train to the end, resuming at a checkpoint; leaves the weights with the best validation accuracy in the model, on every rank.

    Returns:
        The selected step, and on rank 0 the curve.
    """
    broadcast_model(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, betas=plan.betas, weight_decay=plan.weight_decay)
    state = _resume(model, optimizer, context)
    for step in range(state["step"], plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate(step)
        model.train()
        optimizer.zero_grad()
        loss, own, total = batch_loss(model, split, plan, request, step, context.device)
        if loss is not None:
            loss.backward()
        average_gradients(model.parameters(), own, total)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        context.progress(step + 1, plan.steps, "steps")
        state["step"] = step + 1
        if (step + 1) % request.settings.evaluate_every == 0 or step + 1 == plan.steps:
            mean = mean_over_ranks(0.0 if loss is None else float(loss.detach()), own, total)
            _select(model, split, mean, state, context)
        if (step + 1) % CHECKPOINT_EVERY == 0 and is_main():
            with atomic.replacing(context.output / CHECKPOINT) as temporary:
                torch.save({**state, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, temporary)
    model.load_state_dict(state["weights"])
    return int(state["best_step"]), state["curve"]


def _resume(model: ASTForAudioClassification, optimizer: torch.optim.Optimizer, context: Context) -> dict[str, Any]:
    """Return the state to go on from: a checkpoint's, written with whatever number of ranks, or that of a fresh start."""
    path = context.output / CHECKPOINT
    state: dict[str, Any] = {"step": 0, "best": -1.0, "best_step": 0, "weights": copy.deepcopy(model.state_dict()), "curve": []}
    if broadcast_number(path.is_file()):  # rank 0's word: all resume or none
        saved = torch.load(path, weights_only=True, map_location=context.device)
        model.load_state_dict(saved.pop("model"))
        optimizer.load_state_dict(saved.pop("optimizer"))
        state = saved
        context.log(f"resumed at step {state['step']}")
    barrier()  # rank 0 writes the next checkpoint only after everyone has read this one
    return state


def _select(model: ASTForAudioClassification, split: clips.Split, loss: float, state: dict[str, Any], context: Context) -> None:
    """Let rank 0 look at the validation clips; every rank keeps the weights when they are the best so far."""
    best = _evaluate(model, split, loss, state, context) if is_main() else False
    if broadcast_number(best):
        state["best_step"], state["weights"] = state["step"], copy.deepcopy(model.state_dict())


def _evaluate(model: ASTForAudioClassification, split: clips.Split, loss: float, state: dict[str, Any], context: Context) -> bool:
    """Add a point to the curve and return whether it is the best so far (ties: lower validation loss)."""
    probabilities = predict(model, split.val.banks, context.device)
    found = accuracy(probabilities, split.val.labels)
    val_loss = float(torch.nn.functional.nll_loss(torch.log(probabilities + 1e-9), split.val.labels))
    state["curve"].append({"step": state["step"], "loss": round(loss, 5), "val_accuracy": found, "val_loss": round(val_loss, 5)})
    context.metric("val_accuracy", found, state["step"])
    better = found - 1e-3 * val_loss > state["best"]
    state["best"] = max(state["best"], found - 1e-3 * val_loss)
    return better


def _write(
    model: ASTForAudioClassification,
    split: clips.Split,
    val: torch.Tensor,
    test: torch.Tensor,
    curve: list[dict[str, float]],
    context: Context,
) -> None:
    """Write weights, configuration, labels, predictions and curves."""
    save_file(
        {name: part.detach().cpu().contiguous().clone() for name, part in model.state_dict().items()}, context.output / "model.safetensors"
    )
    atomic.write_text(context.output / "config.json", model.config.to_json_string())
    atomic.write_json(context.output / "labels.json", list(split.classes))
    atomic.write_json(context.output / "curves.json", curve)
    tables = []
    for name, features, probabilities in (("val", split.val, val), ("test", split.test, test)):
        columns: dict[str, Any] = {"clip_id": features.clip_ids, "split": name}
        columns["label"] = [split.classes[int(number)] for number in features.labels]
        columns["predicted"] = [split.classes[int(number)] for number in probabilities.argmax(1)]
        columns |= {f"p_{label}": probabilities[:, i].numpy().round(6) for i, label in enumerate(split.classes)}
        tables.append(pd.DataFrame(columns))
    with atomic.replacing(context.output / "predictions.parquet") as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary, index=False)
