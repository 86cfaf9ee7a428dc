"""Which clips are kept, given everybody's scores."""

from __future__ import annotations

import json
import math
from typing import Any

import torch

from tasks.clap_filter.spec import Settings

DEFAULTS = {"sigmoid": 0.85, "cosine": 0.2, "rank": 3.0, "top_k": 10.0, "top_share": 0.5, "encoder_rank": 3.0}
DIGITS = 5
"""Scores are rounded, so that the last bits of a sum in another order change no decision."""


def rule(settings: Settings, compact: bool) -> tuple[str, float]:
    """Return which rule decides and its bound."""
    score = settings.score if settings.score != "auto" else "rank" if compact else "sigmoid"
    return score, DEFAULTS[score] if settings.threshold is None else settings.threshold


def verdict(scores: dict[str, float], score: str, bound: float) -> str:
    """Return why a clip is rejected by a bound on its own score, empty when it is kept."""
    name = score if score == "encoder_rank" else f"clap_{score}"
    value = scores[name]
    if score in ("rank", "encoder_rank"):
        return "" if value <= bound else f"{name} {value:.0f} is worse than {bound:g}"
    return "" if value >= bound else f"clap_{score} {value:.3f} is below {bound:g}"


def places(rows: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return each scored clip's place among those of its label by cosine, 1 the best, and their number; ties go by clip_id."""
    of_label: dict[str, list[tuple[float, str]]] = {}
    for row in rows:
        of_label.setdefault(row["label"], []).append((-json.loads(row["scores"])["clap_cosine"], row["clip_id"]))
    found = {}
    for members in of_label.values():
        for place, (_, clip_id) in enumerate(sorted(members), start=1):
            found[clip_id] = (place, len(members))
    return found


def decide(rows: list[dict[str, Any]], decision: tuple[str, float]) -> None:
    """Write status and reason into the rows that are scored and accepted so far.

    ``top_share`` keeps the nearest whole number of a label's clips, at least one while the share is above 0.
    """
    score, bound = decision
    judged = [row for row in rows if row["status"] == "accepted"]
    order = places(judged) if score in ("top_k", "top_share") else {}
    for row in judged:
        if score in ("top_k", "top_share"):
            place, members = order[row["clip_id"]]
            kept = int(bound) if score == "top_k" else max(math.floor(bound * members + 0.5), 1 if bound > 0 else 0)
            row["reason"] = "" if place <= kept else f"clap_cosine is number {place} of {members} of its label, {kept} are kept"
        else:
            row["reason"] = verdict(json.loads(row["scores"]), score, bound)
        row["status"] = "rejected" if row["reason"] else "accepted"


def score_clip(similarities: torch.Tensor, own: int, scale: float) -> dict[str, float]:
    """Return a clip's scores from its cosines with every label's text [labels].

    sigmoid = σ(exp(logit_scale)·cos), as in the published filter (Synthio, section 1.6 of the specification).
    """
    cosine = round(float(similarities[own]), DIGITS)
    others = torch.cat([similarities[:own], similarities[own + 1 :]])
    best_other = round(float(others.max()), DIGITS) if len(others) else -1.0
    rank = 1 + int((others.round(decimals=DIGITS) > cosine).sum())
    return {
        "clap_cosine": cosine, "clap_sigmoid": round(1 / (1 + math.exp(-scale * cosine)), DIGITS), "clap_rank": float(rank),
        "clap_margin": round(cosine - best_other, DIGITS),
    }  # fmt: skip
