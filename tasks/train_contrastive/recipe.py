"""The presets, resolved: how long, how large, how fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from core.errors import InvalidValueError
from tasks.contrastive import losses
from tasks.train_contrastive.spec import Settings
from tasks.training.distributed import world

SGD_RATE, SGD_PAIRS = 0.12, 256
"""The published rate, and the batch it is for (learning_with_noise, Baradad et al., 2021)."""
ADAM_RATE = 1e-3
DECAY = {"sgd": 1e-6, "adam": 1e-4}
WARM_UP_SHARE = 0.1
"""Share of the steps after which a collapse raises the alarm: an untrained network's embeddings are nearly one."""


@dataclass(frozen=True)
class Sizes:
    """A preset's numbers, by the names of the settings."""

    width: int
    epochs: int
    pairs_per_epoch: int
    batch_pairs: int
    optimizer: str
    look_epochs: int
    look_batches: int
    keep_epochs: int
    precision: str


PRESETS = {
    "cpu": Sizes(32, 20, 12_800, 128, "adam", 1, 2, 0, "bfloat16"),
    "paper": Sizes(64, 200, 100_000, 768, "sgd", 10, 1_000_000, 10, "float32"),
}


@dataclass(frozen=True)
class Plan:
    """What a training does, all zeros filled in."""

    width: int
    batch_pairs: int
    epochs: int
    epoch_steps: int
    look_batches: int
    look_epochs: int
    keep_epochs: int
    optimizer: str
    rate: float
    momentum: float
    weight_decay: float
    precision: str
    falls: tuple[int, ...]
    """Steps from which on the rate is a tenth of what it was; with the published sizes these are the beginnings of epochs."""

    @property
    def steps(self) -> int:
        """Gradient steps."""
        return self.epochs * self.epoch_steps

    @property
    def warm_up_steps(self) -> int:
        """Steps before the collapse alarm is on."""
        return math.ceil(WARM_UP_SHARE * self.steps)

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.rate * 0.1 ** sum(step >= fall for fall in self.falls)


def plan(settings: Settings) -> Plan:
    """Resolve the settings.

    Raises:
        InvalidValueError: a batch that cannot be dealt evenly to the ranks.
    """
    preset = PRESETS[settings.preset]
    batch = settings.batch_pairs or preset.batch_pairs
    if batch % world():
        raise InvalidValueError(
            "ranks need equal parts", where="train_contrastive.batch_pairs", allowed=f"a multiple of {world()}", received=batch,
            hint="batch normalisation and losses see the whole batch",
        )  # fmt: skip
    batches = math.ceil((settings.pairs_per_epoch or preset.pairs_per_epoch) / batch)
    steps = max(1, int(batches * settings.train_fraction))
    optimizer, epochs = settings.optimizer or preset.optimizer, settings.epochs or preset.epochs
    rate = settings.learning_rate or (SGD_RATE * batch / SGD_PAIRS if optimizer == "sgd" else ADAM_RATE)
    return Plan(
        width=settings.width or preset.width, batch_pairs=batch, epochs=epochs, epoch_steps=steps,
        look_batches=min(max(1, batches - steps), settings.look_batches or preset.look_batches),
        look_epochs=settings.look_epochs or preset.look_epochs, keep_epochs=settings.keep_epochs or preset.keep_epochs,
        optimizer=optimizer, rate=rate, momentum=settings.momentum,
        weight_decay=DECAY[optimizer] if settings.weight_decay is None else settings.weight_decay,
        precision=settings.precision or preset.precision,
        falls=tuple(round(epochs * steps * share) for share in settings.milestones),
    )  # fmt: skip


def optimizer(plan: Plan, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Return the plan's optimiser; weight decay is added to the gradient, as published."""
    if plan.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=plan.rate, momentum=plan.momentum, weight_decay=plan.weight_decay)
    return torch.optim.Adam(parameters, lr=plan.rate, weight_decay=plan.weight_decay)


def loss(settings: Settings) -> losses.Loss:
    """Return the loss of two views' embeddings; only ``nt_xent`` looks at the pairs' groups."""
    pairwise: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "vicreg": partial(losses.vicreg, **dict(zip(("invariance", "variance", "covariance"), settings.vicreg_weights, strict=True))),
        "barlow": partial(losses.barlow, off_diagonal=settings.barlow_off_diagonal),
        "align_uniform": partial(_weighed, settings),
    }
    if settings.loss == "nt_xent":
        return lambda first, second, groups: losses.nt_xent(first, second, settings.temperature, groups)
    return lambda first, second, groups: pairwise[settings.loss](first, second)


def _weighed(settings: Settings, first: Tensor, second: Tensor) -> Tensor:
    close, even = losses.align_and_uniform(first, second, settings.align_alpha, settings.uniform_t)
    return settings.align_weight * close + settings.uniform_weight * even
