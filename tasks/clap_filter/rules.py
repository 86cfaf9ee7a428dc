"""The rule that a checkpoint calls for, and one clip's scores; how a rule decides is in ``tasks/clap_model/rules.py``."""

from __future__ import annotations

import math

import torch

from tasks.clap_filter.spec import Settings
from tasks.clap_model.rules import DIGITS

DEFAULTS = {"sigmoid": 0.85, "cosine": 0.2, "rank": 3.0, "top_k": 10.0, "top_share": 0.5, "encoder_rank": 3.0}


def rule(settings: Settings, compact: bool) -> tuple[str, float]:
    """Return which rule decides and its bound."""
    score = settings.score if settings.score != "auto" else "rank" if compact else "sigmoid"
    return score, DEFAULTS[score] if settings.threshold is None else settings.threshold


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
