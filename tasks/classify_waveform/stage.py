"""Trains, selects on validation, predicts the test once, writes scores, curves and weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import atomic
from core.context import Context
from core.errors import InvalidValueError
from tasks.classify_waveform.network import WaveformClassifier
from tasks.classify_waveform.spec import Request, Result
from tasks.grid.features import open_features
from tasks.grid.reading import open_grid
from tasks.training.loop import CHECKPOINT, Loop, load_checkpoint, save_checkpoint
from tasks.training.start import repeatable
from tasks.training.weights import save_weights

WINDOWS = "windows.npy"
READ_ROWS, PREDICT_ROWS = 256, 256
Point = dict[str, float]


@dataclass
class _Clips:
    """The windows on disk, and which rows are whose."""

    windows: Any
    """float32 [clips, samples], a memory map."""
    targets: Tensor
    """int64 [clips]."""
    rows: dict[str, np.ndarray[Any, Any]]
    """Row numbers by split."""
    classes: tuple[str, ...]
    """Waveforms by class number."""

    def batch(self, rows: np.ndarray[Any, Any], device: str) -> tuple[Tensor, Tensor]:
        """Return sounds [rows, 1, samples] and targets [rows]."""
        return torch.from_numpy(self.windows[rows][:, None]).to(device), self.targets[torch.from_numpy(rows)].to(device)


def run(request: Request, context: Context) -> Result:
    """Train one classifier with one seed."""
    repeatable(context)
    clips = _read(request, context)
    torch.manual_seed(request.seed)
    model = WaveformClassifier(clips.windows.shape[1], len(clips.classes)).to(context.device)
    best, curve, losses = _train(model, clips, request, context)
    val, test = (_accuracy(model, clips, name, context.device) for name in ("val", "test"))
    scores = {"val": val, "test": test, "classes": list(clips.classes), "best_step": best, "seed": request.seed}
    atomic.write_json(context.output / "scores.json", scores)
    atomic.write_json(context.output / "curves.json", {"loss": losses, "val": curve})
    config = {"samples": int(clips.windows.shape[1]), "classes": list(clips.classes)}
    save_weights(context.output / "model.pt", model.state_dict(), config)
    for name in (CHECKPOINT, WINDOWS):
        (context.output / name).unlink(missing_ok=True)
    return Result(
        val_accuracy=val["accuracy"], test_accuracy=test["accuracy"], test_accuracy_by_waveform=test["by_waveform"], best_step=best,
        parameters=sum(part.numel() for part in model.parameters()), train_clips=len(clips.rows["train"]),
    )  # fmt: skip


def _read(request: Request, context: Context) -> _Clips:
    """Copy the beginnings of the clips to one array on disk, which batches can be drawn from at random.

    Raises:
        InvalidValueError: grid and features do not belong together, there is one waveform only, or a split is empty.
    """
    features = open_features(context.resolve(request.features))
    with open_grid(context.resolve(request.grid)) as grid:
        classes = tuple(str(name) for name in grid.factor("waveform").values)
        targets = grid.table()["waveform"].to_numpy()
        if len(features.table) != grid.clips or not np.array_equal(features.table["waveform"].to_numpy(), targets):
            where = "classify_waveform.features"
            raise InvalidValueError("another grid's", where=where, allowed=f"features of {request.grid}", received=request.features)
        if len(classes) < 2:
            where = "classify_waveform.grid"
            raise InvalidValueError("nothing to tell apart", where=where, allowed="two waveforms or more", received=classes)
        wanted = round(request.settings.window_s * grid.sample_rate_hz) or grid.samples_per_clip
        samples = min(wanted, grid.samples_per_clip)
        path: Path = context.output / WINDOWS
        windows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(grid.clips, samples))
        for first, sounds in grid.blocks(READ_ROWS):
            windows[first : first + len(sounds)] = sounds[:, :samples]
            context.progress(first + len(sounds), grid.clips, "clips read")
    rows = {name: features.rows(name) for name in ("train", "val", "test")}
    empty = [name for name, numbers in rows.items() if not len(numbers)]
    if empty:
        hint = "featurise with val_fraction and test_fraction above 0"
        raise InvalidValueError("no clips", where="classify_waveform.features", allowed="train, val and test", received=empty, hint=hint)
    return _Clips(windows, torch.from_numpy(targets.astype(np.int64)), rows, classes)


def _train(model: WaveformClassifier, clips: _Clips, request: Request, context: Context) -> tuple[int, list[Point], list[float]]:
    """Train to the end, resuming at a checkpoint; leaves the selected weights in the model.

    Returns:
        The selected step, the points of the validation curve, and the loss of every step.
    """
    settings = request.settings
    loop = Loop(context, "classifier", settings.steps, model.parameters(), lambda step: settings.learning_rate, request.seed, 0)
    loop.optimizer = torch.optim.Adam(loop.parameters, lr=settings.learning_rate, amsgrad=True)
    kept: dict[str, Any] = {"best": [-1.0, 0.0], "best_step": 0, "weights": copy.deepcopy(model.state_dict()), "curve": [], "step": 0}
    state = load_checkpoint(context.output)
    if state is not None:
        model.load_state_dict(state["model"])
        loop.restore(state["loop"])
        kept = state["kept"]
        context.log(f"resumed at step {kept['step']}")

    def loss_of(generator: torch.Generator) -> Tensor:
        model.train()
        drawn = torch.randint(len(clips.rows["train"]), (settings.batch_clips,), generator=generator).numpy()
        sounds, targets = clips.batch(clips.rows["train"][drawn], context.device)
        return torch.nn.functional.cross_entropy(model(sounds), targets)

    def after(step: int) -> None:
        if (step + 1) % settings.evaluate_every and step + 1 < settings.steps:
            return
        found = _accuracy(model, clips, "val", context.device)
        kept["curve"].append({"step": step + 1, "val_accuracy": found["accuracy"], "val_loss": found["loss"]})
        context.metric("val_accuracy", found["accuracy"], step + 1)
        if [found["accuracy"], -found["loss"]] > list(kept["best"]) or not kept["best_step"]:
            kept.update(best=[found["accuracy"], -found["loss"]], best_step=step + 1, weights=copy.deepcopy(model.state_dict()))

    def save(step: int) -> None:
        kept["step"] = step
        save_checkpoint(context.output, {"model": model.state_dict(), "loop": loop.state(), "kept": kept})

    loop.run(int(kept["step"]), loss_of, after, save)
    model.load_state_dict(kept["weights"])
    return int(kept["best_step"]), list(kept["curve"]), [round(value, 6) for value in loop.losses]


@torch.no_grad()
def _accuracy(model: WaveformClassifier, clips: _Clips, split: str, device: str) -> dict[str, Any]:
    """Return accuracy, loss, accuracy by waveform and confusion counts ([true][named]) on a split."""
    model.eval()
    rows, count = clips.rows[split], len(clips.classes)
    confusion, loss = np.zeros((count, count), np.int64), 0.0
    for start in range(0, len(rows), PREDICT_ROWS):
        sounds, targets = clips.batch(rows[start : start + PREDICT_ROWS], device)
        logits = model(sounds)
        loss += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
        np.add.at(confusion, (targets.cpu().numpy(), logits.argmax(1).cpu().numpy()), 1)
    own = {name: float(confusion[i, i] / confusion[i].sum()) for i, name in enumerate(clips.classes) if confusion[i].sum()}
    return {
        "accuracy": float(np.trace(confusion) / len(rows)), "loss": loss / len(rows), "clips": len(rows), "by_waveform": own,
        "confusion": confusion.tolist(),
    }  # fmt: skip
