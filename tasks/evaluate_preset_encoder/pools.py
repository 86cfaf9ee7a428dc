"""One pool of presets under test: its embeddings, and every score of one against all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.errors import InvalidValueError
from tasks.evaluate_preset_encoder.spec import Settings
from tasks.preset_encoders import gap
from tasks.preset_encoders.encoder import PresetEncoder
from tasks.preset_encoders.examples import Examples, check_belongs
from tasks.preset_encoders.inference import embed_examples
from tasks.preset_encoders.protocols import mean_and_sd, rank_one_vs_all, rank_validation, rankings, subset
from tasks.preset_encoders.ranking import Distance, Places, chance, distances, places
from tasks.presets.reading import PresetSet, open_presets

WHOLE_MATRIX_ROWS = 16_384
"""Pools up to this size have the distances of all pairs worked out once (1 GB) and then looked up for each run."""
GAP_ROWS = 4096
"""Presets that the modality gap is measured on."""


@dataclass
class Pool:
    """Presets of a set and their sounds, as the encoder and the audio model see them."""

    presets: PresetSet
    rows: npt.NDArray[np.int64]
    """Places in the set."""
    found: Tensor
    """The encoder's embeddings [rows, m], where distances are taken."""
    heard: Tensor
    """The audio model's embeddings [rows, m], there too."""
    errors: npt.NDArray[np.float64]
    """Mean absolute error of each preset, in the audio model's units [rows]."""

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, place: int) -> str:
        """Return what a preset is called, or its number."""
        table, row = self.presets.table, int(self.rows[place])
        told = table["name"].iloc[row] if "name" in table else ""
        return told if isinstance(told, str) and told else f"preset {row}"


def open_pool(folder: Path, split: str, encoder: PresetEncoder, about: dict[str, Any], settings: Settings, device: str) -> Pool:
    """Open the presets of a split (all for an empty one) and embed them.

    Raises:
        InvalidValueError: a set that was made otherwise than the encoder's, or has no such rows.
    """
    presets = open_presets(folder)
    check_belongs(about["made"], presets, "evaluate_preset_encoder.model")
    rows = presets.rows(split)
    if len(rows) < 2:
        hint = "split is a setting of render_presets"
        raise InvalidValueError(f"too few {split or 'rows'} rows", where=str(folder), allowed="at least 2", received=len(rows), hint=hint)
    found, heard = (torch.cat(parts) for parts in zip(*embed_examples(encoder, Examples(presets, rows, device)), strict=True))
    errors = ((found - heard) * encoder.spread).abs().double().mean(1).cpu().numpy()
    if settings.space == "embedding":
        found, heard = encoder.undone(found), encoder.undone(heard)
    return Pool(presets, rows, found, heard, errors)


def validation(pool: Pool, settings: Settings, distance: Distance) -> dict[str, Any]:
    """Return the scores of the validation rankings."""
    members = rankings(len(pool), settings.rankings, settings.candidates, settings.seed)
    count, candidates = members.shape
    told = rank_validation(pool.found, pool.heard, members, distance).scores()
    return {
        **told, "l1": float(pool.errors.mean()), "rankings": count, "candidates": candidates, "pool": len(pool),
        "each_preset_once": len(pool) >= settings.rankings * settings.candidates, "chance_mrr": chance(candidates)["mrr"],
    }  # fmt: skip


def one_vs_all(pool: Pool, size: int, settings: Settings, distance: Distance) -> dict[str, Any]:
    """Return the scores over runs, each on a subset of its own: mean and standard deviation, in both directions."""
    runs = settings.runs if size < len(pool) else 1
    whole = distances(pool.found, pool.heard, distance).cpu() if runs > 1 and len(pool) <= WHOLE_MATRIX_ROWS else None
    directions: dict[str, list[dict[str, float]]] = {"preset_query": [], "audio_query": []}
    for run in range(runs):
        members = torch.from_numpy(subset(len(pool), size, settings.seed + run))
        for name, found in ranked(pool, members, whole, distance).items():
            directions[name].append(found.scores())
    return {name: mean_and_sd(values) for name, values in directions.items()}


def ranked(pool: Pool, members: Tensor, whole: Tensor | None, distance: Distance) -> dict[str, Places]:
    """Return where the right ones came in both directions, among some members of the pool.

    Args:
        pool: the presets.
        members: places in the pool.
        whole: distances of all pairs of the pool, if they are there.
        distance: what is near.
    """
    if whole is None:
        there = members.to(pool.found.device)
        both = rank_one_vs_all(pool.found[there], pool.heard[there], distance)
        return {"preset_query": both.preset_query, "audio_query": both.audio_query}
    matrix, own = whole[members][:, members], torch.arange(len(members))
    return {"preset_query": places(matrix, own), "audio_query": places(matrix.T, own)}


def scores(pool: Pool, settings: Settings, distance: Distance) -> dict[str, Any]:
    """Return everything that is said of a pool: ``l1`` is the exact mean over all its presets, ``l1_runs`` that over those of each run."""
    size = min(settings.subset, len(pool))
    runs = settings.runs if size < len(pool) else 1
    errors = [{"l1": float(pool.errors[subset(len(pool), size, settings.seed + run)].mean())} for run in range(runs)]
    some = subset(len(pool), GAP_ROWS, settings.seed)
    found, heard = (part[torch.from_numpy(some).to(part.device)].cpu().numpy() for part in (pool.found, pool.heard))
    told = {
        "pool": len(pool), "subset": size, "runs": runs, "l1": float(pool.errors.mean()), "l1_runs": mean_and_sd(errors)["l1"],
        "ranks": one_vs_all(pool, size, settings, distance), "ranks_cosine": one_vs_all(pool, size, settings, "cosine"),
        "chance": chance(size),
        "modality_gap": {
            "centroid_distance": gap.centroid_distance(found, heard), "telling_accuracy": gap.telling_accuracy(found, heard)
        },
    }  # fmt: skip
    if settings.pool_sizes:
        sizes = sorted({min(other, len(pool)) for other in settings.pool_sizes})
        told["pool_sizes"] = {
            str(other): {**one_vs_all(pool, other, settings, distance), "chance_mrr": chance(other)["mrr"]} for other in sizes
        }
    return told
