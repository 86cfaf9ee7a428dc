"""Scores shard by shard; the audio stays where it is, only the manifest is new."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from core import audio, manifest
from core.audio_checks import Limits, Unusable
from core.audio_checks import load as load_sound
from core.context import Context
from tasks.clap_filter.spec import Request, Result, Settings
from tasks.clap_model.loading import CompactClap, PublishedClap, load
from tasks.clap_model.windows import template, windows

DEFAULTS = {"sigmoid": 0.85, "cosine": 0.2, "rank": 3.0}
DIGITS = 5
"""Scores are rounded, so that the last bits of a sum in another order change no decision."""


def rule(settings: Settings, compact: bool) -> tuple[str, float]:
    """Return which score decides and its bound."""
    score = settings.score if settings.score != "auto" else "rank" if compact else "sigmoid"
    return score, DEFAULTS[score] if settings.threshold is None else settings.threshold


def verdict(scores: dict[str, float], score: str, bound: float) -> str:
    """Return why a clip is rejected, empty when it is kept."""
    value = scores[f"clap_{score}"]
    if score == "rank":
        return "" if value <= bound else f"clap_rank {value:.0f} is worse than {bound:g}"
    return "" if value >= bound else f"clap_{score} {value:.3f} is below {bound:g}"


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


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the model once, then score the given shards."""
    torch.set_num_threads(context.threads)
    path = context.resolve(request.checkpoint) if request.checkpoint.startswith("stages/") else Path(request.checkpoint)
    model, _ = load(path, request.settings.audio_model, request.settings.text_model, context.device)
    table = manifest.read(context.resolve(request.clips)).sort_values("clip_id").reset_index(drop=True)
    labels = sorted(set(table["label"]))
    with torch.no_grad():
        # Twice: a one-text batch breaks in laion-clap's tokenizer, and costs nothing to avoid.
        texts = model.text_embedding([template(label) for label in labels] * 2)[: len(labels)]
    decision = rule(request.settings, isinstance(model, CompactClap))
    total, done = sum(len(table.iloc[shard :: request.shards]) for shard in shards), 0
    for shard in shards:
        own = table.iloc[shard :: request.shards]
        with context.shard(shard) as folder:
            rows = []
            for start in range(0, len(own), request.settings.batch_size):
                rows += _score(model, own.iloc[start : start + request.settings.batch_size], labels, texts, decision, context)
                done = min(total, done + request.settings.batch_size)
                context.progress(done, total)
            manifest.write(folder, pd.DataFrame(rows, columns=list(manifest.COLUMNS)))


@torch.no_grad()
def _score(
    model: CompactClap | PublishedClap,
    rows: pd.DataFrame,
    labels: list[str],
    texts: torch.Tensor,
    decision: tuple[str, float],
    context: Context,
) -> list[dict[str, Any]]:
    """Return the rows with scores and verdicts; rows that came rejected stay as they are."""
    scored, length = [], round(model.window_s * model.sample_rate_hz)
    for row in rows.to_dict("records"):
        scored.append(row)
        if row["status"] != "accepted":
            continue
        try:
            samples, rate_hz = load_sound(context.resolve(row["path"]), Limits(min_duration_s=0.0, max_duration_s=3600.0))
        except (Unusable, OSError) as error:
            row["status"], row["reason"] = "rejected", f"unreadable: {error}"
            continue
        sound = audio.resample(samples.mean(axis=0), rate_hz, model.sample_rate_hz)
        # One clip at a time: a clip's windows are a batch already, and its score must not depend on its neighbours.
        similarities = (model.audio_embedding(windows(sound, length).to(context.device)) @ texts.T).mean(0).cpu()
        scores = score_clip(similarities, labels.index(row["label"]), model.logit_scale())
        row["scores"] = json.dumps(json.loads(row["scores"]) | scores, sort_keys=True)
        row["reason"] = verdict(scores, *decision)
        row["status"] = "rejected" if row["reason"] else "accepted"
    return scored


def run(request: Request, context: Context) -> Result:
    """Combine the shards into one manifest."""
    table = pd.concat([manifest.read(context.shard_folder(shard)) for shard in range(request.shards)])
    table = table.sort_values("clip_id").reset_index(drop=True)
    manifest.write(context.output, table)
    kept = table[table["status"] == "accepted"]
    cosines = [json.loads(text).get("clap_cosine") for text in table["scores"]]
    known = [value for value in cosines if value is not None]
    return Result(
        accepted=len(kept), rejected=len(table) - len(kept), mean_cosine=round(sum(known) / len(known), DIGITS) if known else 0.0,
        accepted_per_label={str(label): int(count) for label, count in kept["label"].value_counts().sort_index().items()},
    )  # fmt: skip
