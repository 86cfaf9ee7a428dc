"""What sources give out, and the order of those that have an end: every item once a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass
class Views:
    """Two views of each pair."""

    first: Tensor
    """[pairs, samples]."""
    second: Tensor
    """[pairs, samples]."""
    saturation: float | None = None
    """Share of perturbed parameters held at a bound; None for real sounds."""
    parameters: dict[str, Tensor] | None = None
    """Synthesised: unit parameters [pairs, parameters] as drawn (``drawn``) and of both views (``first``, ``second``)."""


class Passes:
    """Keys of a limited number of items; key = pass · items + the item's place.

    Args:
        seed: of the orders.
        names: what each item's random choices hang on; those trained on first, then those only looked at.
        trained: how many are trained on; without others they are looked at as well.
    """

    def __init__(self, seed: int, names: Sequence[str], trained: int) -> None:
        self.seed, self.names, self.trained = seed, list(names), trained
        self._order: tuple[int, list[int]] = (-1, [])

    def keys(self, step: int, pairs: int) -> list[int]:
        """Return the keys of a step's whole batch; every item once a pass, in an order of the pass's own."""
        return [self._key(number) for number in range(step * pairs, (step + 1) * pairs)]

    def _key(self, number: int) -> int:
        turn, place = divmod(number, self.trained)
        if self._order[0] != turn:
            self._order = (turn, np.random.default_rng([self.seed, turn, 1]).permutation(self.trained).tolist())
        return turn * len(self.names) + self._order[1][place]

    def held_out(self, batch: int, pairs: int) -> list[int]:
        """Return the keys of one of the batches that are only looked at; fewer where there are no more."""
        places = range(self.trained, len(self.names)) if self.trained < len(self.names) else range(self.trained)
        return list(places[batch * pairs : (batch + 1) * pairs])

    def groups(self, keys: list[int]) -> Tensor | None:
        """Return the number of the group that each pair is of [pairs]; None: every pair stands for itself."""
        return None

    def told(self, key: int) -> str:
        """Say in words what a pair is."""
        return "one sound, perturbed twice"

    def identity(self, key: int) -> str:
        """Return what a pair's random choices hang on, besides the seed."""
        turn, place = divmod(key, len(self.names))
        return f"{self.names[place]}:{turn}"
