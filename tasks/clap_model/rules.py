"""Which clips are kept, given everybody's scores: for the filter, and for whoever asks again with another bound."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

DIGITS = 5
"""Scores are rounded, so that the last bits of a sum in another order change no decision."""
SCORED = "clap_cosine"
"""Score that every clip has which the filter judged, and no other clip."""


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


def decide_again(rows: Iterable[dict[str, Any]], decision: tuple[str, float]) -> list[dict[str, Any]]:
    """Return rows of a filtered manifest as another bound decides; no clip is scored again.

    Rows without scores, which came to the filter rejected or could not be read, stay as they are.
    """
    fresh = [{**row, "status": "accepted", "reason": ""} if SCORED in json.loads(row["scores"]) else dict(row) for row in rows]
    judged = [row for row in fresh if SCORED in json.loads(row["scores"])]
    decide(judged, decision)
    return fresh
