"""Trains a network for each fold, goes on where it was stopped, and writes scores and predictions as ``probe`` does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from core import atomic, audio, manifest
from core.context import Context
from core.contract import to_dict
from tasks.contrastive.features import front_end
from tasks.matmul import use_fast_float32
from tasks.probing.folds import Fold, Targets, folds, labels
from tasks.probing.scores import Array, likelihoods, metric_of, score
from tasks.probing.summary import by_class, chance
from tasks.train_supervised.network import Network, drawn, pictures
from tasks.train_supervised.spec import Request, Result
from tasks.training.loop import CHECKPOINT, Loop, load_checkpoint, save_checkpoint, warm_cosine
from tasks.training.start import repeatable

PHASE = "supervised"


@dataclass
class Found:
    """What is known of the folds that are finished."""

    scores: list[Tensor] = field(default_factory=list)
    """Of the test clips [clips, classes]."""
    val: list[float] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)


def run(request: Request, context: Context) -> Result:
    """Train and test fold by fold."""
    repeatable(context)
    use_fast_float32(context.device)
    trainee = Trainee(request, context)
    state = load_checkpoint(context.output, trainee.identity) or {}
    found = Found(**state.get("found", {}))
    for number in range(len(found.scores), len(trainee.rounds)):
        trainee.fold(number, found, state if state.get("step") else {})
        state = {}
        save_checkpoint(context.output, {**trainee.identity, "found": vars(found)})
    result = _result(trainee, found)
    atomic.write_json(context.output / "scores.json", {**to_dict(result), "probe": PHASE, "settings": to_dict(request.settings)})
    _write_predictions(trainee, found, context)
    (context.output / CHECKPOINT).unlink(missing_ok=True)
    return result


class Trainee:
    """The clips, their folds, and one network after the other."""

    def __init__(self, request: Request, context: Context) -> None:
        settings, self.request, self.context = request.settings, request, context
        table = manifest.accepted(manifest.read(context.resolve(request.clips))).sort_values("clip_id").reset_index(drop=True)
        self.table, self.settings = table, settings
        self.targets: Targets = labels(table["label"].tolist(), table["clip_id"].tolist(), settings.label_separator, request.clips)
        self.metric = metric_of(self.targets.kind, settings.metric)
        self.rounds = folds(table, settings.folds, settings.fold_seed, request.clips)
        self.features = front_end(settings.front_end, settings.sample_rate_hz)
        self.levels = [pictures(audio.load_mono(context.resolve(path), settings.sample_rate_hz), self.features) for path in table["path"]]
        self.frames = self.features.shape[0]
        self.identity = {"seed": request.seed, "clips": manifest.digest(table), "settings": to_dict(settings)}
        self.weights = 0

    def fold(self, number: int, found: Found, state: dict[str, Any]) -> None:
        """Train on one fold's clips, or go on with it, and add what came out to ``found``."""
        settings, fold = self.settings, self.rounds[number]
        seed = self.request.seed * 1009 + number
        torch.manual_seed(seed)
        network = Network(len(self.targets.classes), settings.width, settings.precision == "bfloat16")
        network.to(self.context.device, memory_format=torch.channels_last)
        epoch_steps = max(1, len(fold.train) // settings.batch_clips)
        steps = settings.passes * epoch_steps
        rates = warm_cosine(settings.learning_rate, steps)
        loop = Loop(
            self.context, f"{PHASE}_{number + 1}", steps, network.parameters(), rates, seed, stream=0, weight_decay=settings.weight_decay
        )
        best: dict[str, Any] = {"score": -math.inf, "pass": 0, "weights": {}}
        start = 0
        if state:
            network.load_state_dict(state["network"])
            loop.restore(state["loop"])
            best, start = state["best"], int(state["step"])
            self.context.log(f"resumed in fold {fold.name} at step {start}")

        def after(step: int) -> None:
            done, left = divmod(step + 1, epoch_steps)
            if not left and (done % settings.look_passes == 0 or done == settings.passes):
                judged = score(self.scores(network, fold.val), self.targets.values[fold.val], self.targets.kind, self.metric)
                self.context.metric(f"{loop.phase}_val_{self.metric}", judged, step + 1)
                if judged > best["score"]:
                    kept = {name: part.detach().cpu().clone() for name, part in network.state_dict().items()}
                    best.update({"score": judged, "pass": done, "weights": kept})

        def save(step: int) -> None:
            now = {"step": step, "network": network.state_dict(), "loop": loop.state(), "best": best}
            save_checkpoint(self.context.output, {**self.identity, "found": vars(found), **now})

        loop.run(start, lambda generator: self._loss(network, fold, len(loop.losses), epoch_steps, seed, generator), after, save)
        network.load_state_dict(best["weights"])
        self.weights = sum(part.numel() for part in network.parameters())
        found.scores.append(torch.from_numpy(self.scores(network, fold.test)))
        found.val.append(float(best["score"]))
        found.chosen.append(f"pass {best['pass']}")

    def _loss(self, network: Network, fold: Fold, step: int, epoch_steps: int, seed: int, generator: torch.Generator) -> Tensor:
        """Return the loss of one step's clips: every training clip once a pass, in an order of the pass's own."""
        turn, place = divmod(step, epoch_steps)
        order = np.random.default_rng([seed, turn]).permutation(fold.train)
        rows = order[place * self.settings.batch_clips : (place + 1) * self.settings.batch_clips]
        logits = network(drawn([self.levels[row] for row in rows], self.frames, generator).to(self.context.device))
        wanted = torch.from_numpy(self.targets.values[rows]).to(logits)
        if self.targets.kind == "several":
            return functional.binary_cross_entropy_with_logits(logits, wanted)
        return functional.cross_entropy(logits, wanted.argmax(1))

    def scores(self, network: Network, rows: Any) -> Array:
        """Return the scores of clips [clips, classes]."""
        logits = network.clips([self.levels[row] for row in rows], self.frames, self.context.device)
        return likelihoods(logits.numpy(), self.targets.kind, self.metric)


def _result(trainee: Trainee, found: Found) -> Result:
    targets, rounds = trainee.targets, trainee.rounds
    scores = [part.numpy() for part in found.scores]
    by_fold = {
        fold.name: score(part, targets.values[fold.test], targets.kind, trainee.metric) for fold, part in zip(rounds, scores, strict=True)
    }
    network = trainee.weights or sum(
        part.numel() for part in Network(len(targets.classes), trainee.settings.width, False).parameters()
    )  # everything was finished before this attempt
    return Result(
        metric=trainee.metric, score=float(np.mean(list(by_fold.values()))), fold_scores=by_fold, val_score=float(np.mean(found.val)),
        chosen={fold.name: words for fold, words in zip(rounds, found.chosen, strict=True)},
        chance=float(np.mean([chance(targets, fold, trainee.metric) for fold in rounds])),
        clips=sum(len(fold.test) for fold in rounds), heard=0, weights=network,
        per_class_score=by_class(targets, rounds, scores, trainee.metric),
    )  # fmt: skip


def _write_predictions(trainee: Trainee, found: Found, context: Context) -> None:
    """Write a row for each test clip: its label, the one named (the likeliest), its fold, and the score of every class."""
    classes, parts = trainee.targets.classes, []
    for fold, scores in zip(trainee.rounds, found.scores, strict=True):
        own = trainee.table.iloc[fold.test]
        columns: dict[str, Any] = {"clip_id": own["clip_id"].tolist(), "label": own["label"].tolist(), "fold": fold.name}
        columns["predicted"] = [classes[number] for number in scores.numpy().argmax(1).tolist()]
        parts.append(pd.DataFrame(columns | {f"score_{name}": scores[:, number].numpy() for number, name in enumerate(classes)}))
    with atomic.replacing(context.output / "predictions.parquet") as temporary:
        pd.concat(parts, ignore_index=True).to_parquet(temporary, index=False)
