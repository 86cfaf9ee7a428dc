"""Learning rate by step: the published wcrc and plateau schedules, and one cosine for short trainings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tasks.training.loop import Schedule


def cosine(step: float, steps: float, rate: float, least: float) -> float:
    """Return the half cosine from ``rate`` at 0 to ``least`` at ``steps`` and beyond."""
    return least + (rate - least) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1.0, steps))))


def flat_then_cosine(rate: float, least: float, steps: int, flat: int) -> Schedule:
    """Return ``rate`` for ``flat`` steps, then a cosine to ``least`` at ``steps``: the one of the published searches."""
    return lambda step: rate if step < flat else cosine(step - flat, steps - flat, rate, least)


def wcrc(rate: float, least: float, flat: int, first: int, steps: int) -> Schedule:
    """Return the published schedule: constant, cosine, full restart, cosine, constant.

    Published: constant for 7,500 steps, a cosine until step 200,000 (10 passes), restart, a cosine until step 600,000 (30 passes).

    Args:
        rate: at the beginning and at the restart.
        least: at the end of both cosines, and after the last.
        flat: steps of the constant beginning.
        first: step of the restart.
        steps: step at which the second cosine ends.
    """
    early = flat_then_cosine(rate, least, first, flat)
    return lambda step: early(step) if step < first else cosine(step - first, steps - first, rate, least)


def warmed(schedule: Schedule, steps: int) -> Schedule:
    """Return a schedule that rises linearly over its first steps."""
    return lambda step: schedule(step) * min(1.0, (step + 1) / max(1, steps))


@dataclass
class Plateau:
    """A tenth of the rate (by ``factor``) whenever the loss of ``patience`` looks in a row was no better; as torch's ReduceLROnPlateau.

    Its numbers are plain, for a checkpoint.
    """

    rate: float
    factor: float
    patience: int
    threshold: float = 1e-4
    """Relative betterment that counts, torch's default."""
    falls: list[int] = field(default_factory=list)
    """Steps after which the rate fell."""
    best: float = math.inf
    waited: int = 0

    def __call__(self, step: int) -> float:
        """Return the rate of a step."""
        return self.rate * self.factor ** sum(step >= fall for fall in self.falls)

    def look(self, loss: float, done: int) -> None:
        """Take in the loss after ``done`` steps."""
        if loss < self.best * (1 - self.threshold):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.falls.append(done)
            self.waited = 0

    def state(self) -> dict[str, object]:
        """Return what a checkpoint needs."""
        return {"falls": list(self.falls), "best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)
