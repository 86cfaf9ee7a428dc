"""Chooses pool clips by similarity; ties go to the smaller clip_id, so that neither order nor shards decide."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from core.errors import InvalidValueError

DIGITS = 5
"""Cosines are rounded, so that the last bits of a sum in another order change no choice."""


def cosines(queries: npt.NDArray[np.float32], pool: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the rounded cosines [queries, pool] of unit-length embeddings [queries, dim] and [pool, dim]."""
    return np.round(queries.astype(np.float64) @ pool.astype(np.float64).T, DIGITS)


def choose(similarity: npt.NDArray[np.float64], per_clip: int, unique: bool) -> list[list[int]]:
    """Return, for each query, the columns of its retrieved clips, most similar first.

    With ``unique``, pairs are taken in the order of their similarity over the whole matrix, each column once (greedy matching).

    Args:
        similarity: [queries, pool], both sorted by clip_id.
        per_clip: columns wanted for each row.
        unique: whether no column may be given twice.

    Raises:
        InvalidValueError: the pool has too few clips.
    """
    rows, columns = similarity.shape
    needed = per_clip * rows if unique else per_clip
    if columns < needed:
        hint = "take a larger pool, a smaller retrieve.per_clip, or retrieve.unique=false"
        raise InvalidValueError("too few clips to retrieve from", where="retrieve.pool", allowed=f"≥ {needed}", received=columns, hint=hint)
    order = np.argsort(-similarity, axis=1, kind="stable")
    if not unique:
        return [[int(column) for column in order[row, :per_clip]] for row in range(rows)]
    found: list[list[int]] = [[] for _ in range(rows)]
    taken: set[int] = set()
    # Every row stands with its best column that it has not looked at yet; the best of these is the best pair that is left.
    heap = [(-similarity[row, order[row, 0]], row, int(order[row, 0]), 0) for row in range(rows)]
    heapq.heapify(heap)
    while heap:
        _, row, column, position = heapq.heappop(heap)
        if column not in taken:
            taken.add(column)
            found[row].append(column)
        if len(found[row]) < per_clip:
            following = int(order[row, position + 1])
            heapq.heappush(heap, (-similarity[row, following], row, following, position + 1))
    return found
