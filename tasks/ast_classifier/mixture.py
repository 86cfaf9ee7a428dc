"""In which proportions sources are heard, and which filtered clips of theirs: as a request says, or as search_mixture chose."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from tasks.ast_classifier.asked import Request
from tasks.clap_model.rules import SCORED, decide_again

CHOICE = "best.json"
"""What a search leaves."""


@dataclass(frozen=True)
class Mixture:
    """What a search may change of an arm."""

    gold_fraction: float
    """Share of gold clips in a batch, where there are gold clips and others."""
    weights: dict[str, float] = field(default_factory=dict)
    """Weight of each source among the other places of a batch; a source without one has 1. Empty: every clip has the same chance."""
    score: str = ""
    """Rule that filtered clips are kept by; empty: as the filter decided."""
    bound: float = 0.0
    """Of the rule."""


def of_request(request: Request) -> Mixture:
    """Return the mixture that a request's own settings and weights ask for."""
    weights = {source.name: source.weight for source in request.sources if source.weight is not None}
    return Mixture(request.settings.gold_fraction, weights)


def chosen(folder: Path) -> Mixture:
    """Return what a search chose."""
    found = json.loads((folder / CHOICE).read_text(encoding="utf-8"))
    return Mixture(found["gold_fraction"], found["weights"], found["score"], found["bound"])


def candidate(table: pd.DataFrame, filtered: bool) -> pd.DataFrame:
    """Return the train rows of a manifest that some mixture could keep: accepted ones, and of a filtered source those with scores."""
    usable = table["status"] == "accepted"
    if filtered:
        usable |= table["scores"].map(lambda text: SCORED in json.loads(text)).astype(bool)
    return table[usable & (table["split"] == "train")]


def kept(table: pd.DataFrame, request: Request, mixture: Mixture) -> npt.NDArray[np.bool_]:
    """Return which candidate rows a mixture trains on.

    Args:
        table: candidates of all folders, with the column ``folder``.
        request: says which folders are one source; ``top_k`` and ``top_share`` look at all of them at once.
        mixture: with or without a rule of its own.
    """
    accepted = (table["status"] == "accepted").to_numpy().copy()
    for source in request.sources if mixture.score else ():
        own = table["folder"].isin(source.folders).to_numpy()
        if source.filtered and own.any():
            rows: list[dict[str, Any]] = table.loc[own, ["clip_id", "label", "scores", "status", "reason"]].to_dict("records")
            accepted[own] = [row["status"] == "accepted" for row in decide_again(rows, (mixture.score, mixture.bound))]
    return accepted


def shares(table: pd.DataFrame, request: Request, mixture: Mixture) -> list[tuple[float, Tensor]]:
    """Return weight and row numbers of each source that has clips left; empty: every clip has the same chance."""
    if not mixture.weights:
        return []
    found = []
    for source in request.sources:
        rows = torch.from_numpy(np.flatnonzero(table["folder"].isin(source.folders).to_numpy()))
        weight = mixture.weights.get(source.name, 1.0)
        if len(rows) and weight > 0:
            found.append((weight, rows))
    return found
