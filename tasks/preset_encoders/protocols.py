"""What is ranked against what: the validation's many small rankings, and one against all of a subset, in both directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tasks.preset_encoders.ranking import Distance, Places, distances, places

AT_ONCE = 64
"""Rankings whose candidates are gathered at once."""


def rankings(rows: int, count: int, candidates: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the rows of small rankings [rankings, candidates]; the first of each is the query's own, the right one.

    With at least count × candidates rows, every row is in one ranking at most, as published: in batches of ``count`` rows, ranking r
    has row r of each batch. With fewer rows the other candidates of each ranking are drawn from all rows, each ranking by itself,
    without one twice; there are then at most as many rankings, and as many candidates, as rows.

    Args:
        rows: embedded presets.
        count: rankings.
        candidates: of each ranking, the right one among them.
        seed: of the draws.
    """
    if rows >= count * candidates:
        return np.arange(count * candidates).reshape(candidates, count).T.copy()
    count, candidates = min(count, rows), min(candidates, rows)
    queries = np.random.default_rng([seed, 1]).permutation(rows)[:count]
    found = np.empty((count, candidates), np.int64)
    for number, query in enumerate(queries):
        others = np.random.default_rng([seed, 2, number]).choice(rows - 1, candidates - 1, replace=False)
        found[number] = [query, *(others + (others >= query))]
    return found


def rank_validation(presets: Tensor, audio: Tensor, members: npt.NDArray[np.int64], distance: Distance) -> Places:
    """Rank preset embeddings by their distance to an audio embedding, one small ranking per query.

    Args:
        presets: embeddings of presets [rows, m].
        audio: embeddings of the same presets' sounds [rows, m].
        members: of the rankings, see :func:`rankings`.
        distance: what is near.
    """
    found = []
    for part in torch.from_numpy(members).to(presets.device).split(AT_ONCE):
        found.append(distances(audio[part[:, 0]][:, None], presets[part], distance)[:, 0])
    whole = torch.cat(found).cpu()
    return places(whole, torch.zeros(len(whole), dtype=torch.long))


@dataclass(frozen=True)
class OneVsAll:
    """Every preset of a subset against every sound of it."""

    preset_query: Places
    """Presets as queries, sounds as candidates: the published direction."""
    audio_query: Places
    """Sounds as queries, presets as candidates."""


def rank_one_vs_all(presets: Tensor, audio: Tensor, distance: Distance) -> OneVsAll:
    """Rank all against all by one matrix of distances, which takes 4 rows² bytes.

    Args:
        presets: embeddings of presets [rows, m].
        audio: embeddings of the same presets' sounds [rows, m].
        distance: what is near.
    """
    matrix = distances(presets, audio, distance).cpu()
    own = torch.arange(len(matrix))
    return OneVsAll(places(matrix, own), places(matrix.T, own))


def subset(rows: int, size: int, seed: int) -> npt.NDArray[np.int64]:
    """Return ``size`` of the rows, drawn without one twice and in rising order; all where there are no more."""
    if size >= rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng([seed, 3]).choice(rows, size, replace=False))


def mean_and_sd(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation (of the sample; 0 for one run) of each number over runs."""
    columns = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    return {name: {"mean": float(values.mean()), "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0}
            for name, values in columns.items()}  # fmt: skip
