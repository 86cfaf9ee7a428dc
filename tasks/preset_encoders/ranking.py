"""How high the right candidate is ranked by distance: expected over all orders of candidates at the very same distance.

With c candidates nearer than the right one and t others exactly as far, the right one's place is any of c + 1 … c + t + 1, each as
likely. Mean reciprocal rank, recall and mean rank are the expected values over these places, so that an encoder that gives every preset
one embedding scores what chance does, and not 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from core.errors import InvalidValueError

Distance = Literal["l1", "l2", "cosine"]
CHUNK = 512
"""Rows whose distances are worked out at once."""
RECIPROCAL_AT = (1, 2, 3, 4, 5)
RECALL_AT = (1, 5, 10)


@dataclass(frozen=True)
class Places:
    """Where the right candidates came, one for each query."""

    nearer: Tensor
    """Candidates nearer than the right one, int64 [queries]."""
    tied: Tensor
    """Other candidates exactly as far as the right one, int64 [queries]."""
    candidates: int
    """Candidates of each query, the right one among them."""

    @property
    def mean_rank(self) -> Tensor:
        """Expected rank from 1, float64 [queries]."""
        return self.nearer.double() + 1 + self.tied.double() / 2

    def reciprocal(self, most: int | None = None) -> Tensor:
        """Return the expected reciprocal rank, float64 [queries]; ranks beyond ``most`` count 0."""
        return self._mean_over_places(harmonic(self.candidates), most)

    def recall(self, most: int) -> Tensor:
        """Return how likely the right candidate is among the first ``most``, float64 [queries]."""
        return self._mean_over_places(torch.arange(self.candidates + 1, dtype=torch.float64), most)

    def _mean_over_places(self, sums: Tensor, most: int | None) -> Tensor:
        """Return the mean of an amount by rank over the places, given its sums up to each rank [candidates + 1]."""
        most = self.candidates if most is None else min(most, self.candidates)
        begin, end = self.nearer.clamp(max=most), (self.nearer + self.tied + 1).clamp(max=most)
        return (sums[end] - sums[begin]) / (self.tied + 1)

    def scores(self) -> dict[str, float]:
        """Return ``mrr``, ``mrr@k``, ``recall@k`` and mean and median normalised rank (rank / candidates), means over the queries."""
        ranks = self.mean_rank / self.candidates
        found = {"mrr": self.reciprocal()}
        found |= {f"mrr@{most}": self.reciprocal(most) for most in RECIPROCAL_AT}
        found |= {f"recall@{most}": self.recall(most) for most in RECALL_AT}
        told = {name: float(values.mean()) for name, values in found.items()}
        return {**told, "mean_normalised_rank": float(ranks.mean()), "median_normalised_rank": float(ranks.quantile(0.5))}


def harmonic(most: int) -> Tensor:
    """Return H_0 … H_most, the sums of 1 / k, float64 [most + 1]."""
    return torch.cat([torch.zeros(1, dtype=torch.float64), (1 / torch.arange(1, most + 1, dtype=torch.float64)).cumsum(0)])


def chance(candidates: int) -> dict[str, float]:
    """Return the expected scores of candidates in random order: 1 query with all tied."""
    return Places(torch.zeros(1, dtype=torch.long), torch.full((1,), candidates - 1), candidates).scores()


def distances(queries: Tensor, candidates: Tensor, distance: Distance) -> Tensor:
    """Return distances [..., Q, C] of queries [..., Q, m] and candidates [..., C, m].

    Each pair is worked out by itself, not by a matrix product, so that equal rows are equally far to the last bit. ``cosine`` is the
    Euclidean distance of the rows scaled to length 1, which orders as the cosine does.

    Raises:
        InvalidValueError: an embedding that is not finite; it would be nearer than nothing and farther than nothing.
    """
    for what, rows in (("queries", queries), ("candidates", candidates)):
        if not torch.isfinite(rows).all():
            raise InvalidValueError("embeddings are not finite", where=f"ranking.{what}", allowed="finite numbers", received="NaN or inf",
                                    hint="a lower learning rate may help")  # fmt: skip
    if distance == "cosine":
        queries, candidates = (unit(rows) for rows in (queries, candidates))
    power = 1.0 if distance == "l1" else 2.0
    parts = [torch.cdist(part, candidates, power, "donot_use_mm_for_euclid_dist") for part in queries.split(CHUNK, -2)]
    return torch.cat(parts, -2)


def unit(rows: Tensor) -> Tensor:
    """Return rows [..., m] scaled to length 1; a row of zeros stays."""
    return torch.nn.functional.normalize(rows, dim=-1)


def places(found: Tensor, right: Tensor) -> Places:
    """Return where the right candidates came.

    Args:
        found: distances [queries, candidates].
        right: column of each query's right candidate [queries].
    """
    own = found.gather(1, right[:, None])
    tied = (found == own).sum(1) - 1
    return Places((found < own).sum(1), tied, found.shape[1])
