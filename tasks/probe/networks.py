"""Probes that are trained by gradient steps, with their benchmarks' numbers: ARCH's linear layer and HEAR's small networks."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tasks.probe.spec import Settings
from tasks.probing.folds import Kind
from tasks.probing.scores import likelihoods, score

Array = npt.NDArray[Any]


@dataclass
class Data:
    """Clips that train and clips that validate, as tensors."""

    inputs: Tensor
    targets: Tensor
    val_inputs: Tensor
    val_targets: Tensor
    kind: Kind
    metric: str
    seed: int
    """Of weights, batches and dropout."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss: cross-entropy, or binary cross-entropy for several labels a clip."""
        if self.kind == "several":
            return nn.functional.binary_cross_entropy_with_logits(logits, targets)
        return nn.functional.cross_entropy(logits, targets.argmax(1))

    def batches(self, epoch: int, size: int) -> list[Tensor]:
        """Return the rows of a pass's batches; a last one of a single clip is left out, which batch normalisation could not take."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        found = list(torch.randperm(len(self.inputs), generator=generator).split(size))
        return found[:-1] if len(found) > 1 and len(found[-1]) < 2 else found

    @torch.no_grad()
    def judged(self, model: nn.Module) -> tuple[float, float]:
        """Return score and loss on the validation clips."""
        logits = model.eval()(self.val_inputs)
        model.train()
        found = likelihoods(logits.numpy(), self.kind, self.metric)
        return score(found, self.val_targets.numpy(), self.kind, self.metric), float(self.loss(logits, self.val_targets))

    def descend(self, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, size: int) -> None:
        """Take one pass."""
        torch.manual_seed(self.seed * 7_919 + epoch)  # dropout
        for rows in self.batches(epoch, size):
            optimizer.zero_grad()
            self.loss(model(self.inputs[rows]), self.targets[rows]).backward()
            optimizer.step()


@dataclass
class Probe:
    """A trained probe."""

    model: nn.Module
    data: Data
    """What it was trained on."""
    val_score: float
    chosen: str
    """What was chosen on the validation clips, in words."""

    @torch.no_grad()
    def __call__(self, inputs: Array) -> Array:
        """Return logits [clips, classes]; likelihoods where average precision compares the clips of a class."""
        return likelihoods(np.asarray(self.model.eval()(torch.from_numpy(inputs)).numpy()), self.data.kind, self.data.metric)


def arch(data: Data, settings: Settings) -> Probe:
    """Train ARCH's linear layer: AdamW, its rate times 0.95 after each pass, the weights of the lowest validation loss.

    The published code keeps a reference to the weights instead of a copy, so that the last ones count whatever was best; here the best do.
    """
    torch.manual_seed(data.seed)
    model = nn.Linear(data.inputs.shape[1], data.targets.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.arch_rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95)
    best, kept, at, found = math.inf, copy.deepcopy(model.state_dict()), 0, 0.0
    for epoch in range(settings.arch_epochs):
        data.descend(model, optimizer, epoch, settings.arch_batch)
        schedule.step()
        judged, loss = data.judged(model)
        if loss < best:
            best, kept, at, found = loss, copy.deepcopy(model.state_dict()), epoch + 1, judged
    model.load_state_dict(kept)
    return Probe(model, data, found, f"pass {at}")


class HearNetwork(nn.Sequential):
    """HEAR's prediction network: one or two times linear, batch norm, dropout, ReLU; then linear. Weights by Glorot & Bengio (2010).

    Args:
        sizes: inputs, classes.
        layers: hidden layers.
        settings: width and dropout.
        initial: ``uniform`` or ``normal``.
    """

    def __init__(self, sizes: tuple[int, int], layers: int, settings: Settings, initial: str) -> None:
        fill = nn.init.xavier_uniform_ if initial == "uniform" else nn.init.xavier_normal_
        parts: list[nn.Module] = []
        before, gain = sizes[0], nn.init.calculate_gain("linear")
        for _ in range(layers):
            linear = nn.Linear(before, settings.hear_width)
            fill(linear.weight, gain=gain)
            parts += [linear, nn.BatchNorm1d(settings.hear_width), nn.Dropout(settings.hear_dropout), nn.ReLU()]
            before, gain = settings.hear_width, nn.init.calculate_gain("relu")
        last = nn.Linear(before, sizes[1])
        fill(last.weight, gain=gain)
        super().__init__(*parts, last)


def hear_grid(settings: Settings) -> list[tuple[int, float, str]]:
    """Return the settings tried, (layers, rate, initial weights): so many of the grid, drawn without replacement."""
    grid = list(itertools.product((1, 2), settings.hear_rates, ("uniform", "normal")))
    order = np.random.default_rng(settings.seed).permutation(len(grid))
    return [grid[number] for number in order[: settings.hear_grid_points].tolist()]


def hear(data: Data, settings: Settings) -> Probe:
    """Train HEAR's networks and keep the one with the best validation score (ties: the first tried)."""
    best: Probe | None = None
    for layers, rate, initial in hear_grid(settings):
        torch.manual_seed(data.seed)
        model = HearNetwork((data.inputs.shape[1], data.targets.shape[1]), layers, settings, initial)
        found, epoch = _patiently(model, rate, data, settings)
        if best is None or found > best.val_score:
            best = Probe(model, data, found, f"{layers} layers, rate {rate:g}, xavier {initial}, pass {epoch}")
    assert best is not None
    return best


def _patiently(model: nn.Module, rate: float, data: Data, settings: Settings) -> tuple[float, int]:
    """Train until the validation score has not risen for a while; leave the best weights and return their score and pass."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    best, at, waited, kept = -math.inf, 0, 0, copy.deepcopy(model.state_dict())
    for epoch in range(1, settings.hear_epochs + 1):
        data.descend(model, optimizer, epoch, settings.hear_batch)
        if epoch % settings.hear_check_epochs and epoch < settings.hear_epochs:
            continue
        found, _ = data.judged(model)
        waited += 1
        if found > best:
            best, at, waited, kept = found, epoch, 0, copy.deepcopy(model.state_dict())
        if waited >= settings.hear_patience:
            break
    model.load_state_dict(kept)
    return best, at
