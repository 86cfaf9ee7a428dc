"""Writes ``pairs.parquet`` and ``pairs.csv``; no sound is touched."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core import atomic, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.make_pairs.spec import Request, Result, Settings

COLUMNS = (
    "preferred", "not_preferred", "captions", "preferred_id", "not_preferred_id", "gold_id", "label", "split", "seconds", "margin",
)  # fmt: skip
"""The first three are the published table's: paths relative to the data root, and the one prompt of both, whole."""


@dataclass(frozen=True)
class Clip:
    """A clip that may be in a pair."""

    clip_id: str
    path: str
    gold_id: str
    label: str
    caption: str
    seconds: float
    score: float | None


def run(request: Request, context: Context) -> Result:
    """Pair the clips.

    Raises:
        InvalidValueError: a clip is no train clip or has no gold clip; a score is missing; no pair can be made.
    """
    golds = {clip.clip_id: clip for clip in _read(request.gold, context, request.settings, "gold")}
    generated = [clip for folder in request.losers for clip in _read(folder, context, request.settings, "losers")]
    generated.sort(key=lambda clip: clip.clip_id)
    _check(golds, generated, request)
    rows = _gold_wins(golds, generated) if request.settings.method == "gold_wins" else _ranked(golds, generated, request)
    if not rows:
        hint = "generate more clips per caption (generate.num_iters above the number of captions)"
        raise InvalidValueError(
            f"no pair among {len(golds)} gold and {len(generated)} generated clips", where="make_pairs.losers",
            allowed="clips generated for the gold clips, with different scores where they are ranked", received=list(request.losers),
            hint=hint,
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["margin"] = table["margin"].astype("float64")
    with atomic.replacing(context.output / "pairs.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    with atomic.replacing(context.output / "pairs.csv") as temporary:
        table.to_csv(temporary, index=False)
    known = table["margin"].dropna()
    return Result(
        pairs=len(table), gold_clips=len(golds), without_loser=len(golds) - table["gold_id"].nunique(), generated=len(generated),
        mean_margin=round(float(known.mean()), 5) if len(known) else None,
    )  # fmt: skip


def _read(folder: str, context: Context, settings: Settings, where: str) -> list[Clip]:
    """Return a folder's clips: the accepted ones, and those that a filter's rule rejected, which have scores and can still be heard."""
    clips = []
    for row in manifest.read(context.resolve(folder)).itertuples():
        scores = json.loads(row.scores)
        if row.status != "accepted" and not scores:
            continue
        if row.split != "train":
            raise InvalidValueError(
                "not a train clip", where=f"make_pairs.{where}, clip {row.clip_id} of {folder}", allowed="split train", received=row.split
            )
        parent = row.clip_id if where == "gold" else next(iter(row.parents), "")
        clips.append(Clip(row.clip_id, row.path, parent, row.label, row.caption, float(row.duration_s), scores.get(settings.score)))
    return clips


def _check(golds: dict[str, Clip], generated: Iterable[Clip], request: Request) -> None:
    """Refuse clips without their gold clip, and ranked clips without a score."""
    settings, seen = request.settings, set()
    for clip in generated:
        if clip.clip_id in seen:
            raise InvalidValueError(
                "clip comes twice", where="make_pairs.losers", allowed="each clip in one folder: before the filter or after it",
                received=clip.clip_id,
            )  # fmt: skip
        seen.add(clip.clip_id)
        if clip.gold_id not in golds:
            raise InvalidValueError(
                f"generated for a clip that {request.gold} does not hold", where=f"make_pairs.losers, clip {clip.clip_id}",
                allowed="clips generated for these gold clips", received=clip.gold_id,
            )  # fmt: skip
    judged = [] if settings.method == "gold_wins" else [*generated]
    if settings.method == "clap_ranked":
        judged += golds.values()
    for clip in judged:
        if clip.score is None:
            where = "gold" if clip.clip_id in golds else "losers"
            hint = "use the folders that clap_filter made"
            if where == "gold":
                hint = "pass the folder of the gold clips through clap_filter, or use crpo"
            raise InvalidValueError(
                f"{settings.method} needs the score {settings.score}", where=f"make_pairs.{where}, clip {clip.clip_id}",
                allowed=f"manifests whose scores hold {settings.score}", received=None, hint=hint,
            )  # fmt: skip


def _pair(winner: Clip, loser: Clip, caption: str) -> dict[str, Any]:
    known = winner.score is not None and loser.score is not None
    return {
        "preferred": winner.path, "not_preferred": loser.path, "captions": caption, "preferred_id": winner.clip_id,
        "not_preferred_id": loser.clip_id, "gold_id": loser.gold_id, "label": loser.label, "split": "train", "seconds": winner.seconds,
        "margin": winner.score - loser.score if known else None,  # type: ignore[operator]
    }  # fmt: skip


def _gold_wins(golds: dict[str, Clip], generated: Iterable[Clip]) -> list[dict[str, Any]]:
    """Return one row per generated clip; the caption is the one it was generated from."""
    return [_pair(golds[clip.gold_id], clip, clip.caption) for clip in generated]


def _ranked(golds: dict[str, Clip], generated: Iterable[Clip], request: Request) -> list[dict[str, Any]]:
    """Return one row per gold clip and prompt: best against worst; of equals the gold clip wins, then the lower clip id.

    A gold clip is never the loser, however it scored: what the model is to learn must not be what it is to unlearn.
    """
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in generated:
        groups.setdefault((clip.gold_id, clip.caption), []).append(clip)
    rows = []
    for (gold_id, caption), clips in sorted(groups.items()):
        candidates = [golds[gold_id], *clips] if request.settings.method == "clap_ranked" else clips
        best, worst = max(candidates, key=_score), min(clips, key=_score)
        if _score(best) - _score(worst) > request.settings.min_margin:
            rows.append(_pair(best, worst, caption))
    return rows


def _score(clip: Clip) -> float:
    return float(clip.score)  # type: ignore[arg-type]
