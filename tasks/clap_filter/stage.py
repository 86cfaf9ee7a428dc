"""Scores shard by shard, decides once all scores are known; the audio stays where it is, only the manifest is new."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import torch

from core import manifest, reuse
from core.context import Context
from tasks.clap_filter.prototypes import Prototypes
from tasks.clap_filter.rules import rule, score_clip
from tasks.clap_filter.spec import STAGE, Request, Result
from tasks.clap_model.embedding import CLIPS_AT_ONCE, Embedder
from tasks.clap_model.loading import is_compact, load
from tasks.clap_model.rules import DIGITS, SCORED, decide
from tasks.clap_model.windows import template
from tasks.matmul import use_fast_float32

UNREADABLE = "unreadable"
"""How the reason begins of a clip that could not be scored."""


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the model once, then score the given shards."""
    torch.set_num_threads(context.threads)
    use_fast_float32(context.device)
    table = manifest.read(context.resolve(request.clips)).sort_values("clip_id").reset_index(drop=True)
    manifest.require_train(table, "clap_filter.clips")
    total, done = sum(len(table.iloc[shard :: request.shards]) for shard in shards), 0
    scorer: _Scorer | None = None  # loaded for the first clip that no earlier output has scores of
    with reuse.earlier(STAGE, request, context, lambda given: _hangs_on(given, context)) as earlier:
        for shard in shards:
            with context.shard(shard) as folder:
                own = [_known(row, earlier) for row in table.iloc[shard :: request.shards].to_dict("records")]
                rows = [row for row, known in own if known]
                missing = [row for row, known in own if not known]
                done += len(rows)
                for start in range(0, len(missing), CLIPS_AT_ONCE):
                    scorer = scorer or _Scorer(request, context, sorted(set(table["label"])))
                    part = missing[start : start + CLIPS_AT_ONCE]
                    rows += scorer.score(part)
                    done += len(part)
                    context.progress(done, total)
                context.progress(done, total)
                manifest.write(folder, pd.DataFrame(rows, columns=list(manifest.COLUMNS)))


def _hangs_on(request: Request, context: Context) -> dict[str, list[str]]:
    """Return what decides each clip's scores besides the models, by clip_id: its own row, all labels, and the encoder's gold clips."""
    table = manifest.read(context.resolve(request.clips))
    gold = manifest.accepted(manifest.read(context.resolve(request.gold))) if request.gold else table.iloc[:0]
    company = reuse.fingerprint(sorted(set(table["label"])), sorted(zip(gold["clip_id"], gold["sha256"], gold["label"], strict=True)))
    return {row.clip_id: [row.sha256, row.label, row.caption, row.scores, company] for row in manifest.accepted(table).itertuples()}


def _known(row: dict[Any, Any], earlier: reuse.Reuse) -> tuple[dict[Any, Any], bool]:
    """Return a row with the scores that an earlier output has of the clip, and whether there is nothing left to do for it."""
    if row["status"] != "accepted":
        return row, True
    then = earlier.row(row["clip_id"], lambda found: SCORED in json.loads(found["scores"]) and not found["reason"].startswith(UNREADABLE))
    return (row, False) if then is None else ({**row, "scores": then["scores"]}, True)


class _Scorer:
    """The loaded model and the labels' texts."""

    def __init__(self, request: Request, context: Context, labels: list[str]) -> None:
        settings, self.context, self.labels = request.settings, context, labels
        model, _ = load(context.locate(request.checkpoint), settings.audio_model, settings.text_model, context.device)
        self.scale, self.embedder = model.logit_scale(), Embedder(model, context.device, settings.batch_size, settings.precision)
        self.of_labels = self.embedder.texts([template(label) for label in labels])
        self.prototypes = Prototypes(context.locate(request.encoder), request.gold, context) if request.encoder else None

    @torch.inference_mode()
    def score(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows with scores; rows that came rejected stay as they are, unreadable ones are rejected."""
        judged = {row["clip_id"]: row for row in rows if row["status"] == "accepted"}
        embedded, unusable = self.embedder.sounds({clip: self.context.resolve(row["path"]) for clip, row in judged.items()})
        for clip, error in unusable.items():
            judged[clip] |= {"status": "rejected", "reason": f"{UNREADABLE}: {error}"}
        if not embedded:
            return rows
        captions = self.embedder.texts([judged[clip]["caption"] or template(judged[clip]["label"]) for clip in embedded])
        for (clip, own), caption in zip(embedded.items(), captions, strict=True):
            row = judged[clip]
            scores = score_clip((own @ self.of_labels.T).mean(0).cpu(), self.labels.index(row["label"]), self.scale)
            scores["clap_text_caption"] = round(float((own @ caption).mean()), DIGITS)
            if self.prototypes:
                vectors, _ = self.prototypes.embedder.sounds({clip: self.context.resolve(row["path"])})
                scores |= self.prototypes.scores(vectors[clip], row["label"])
            row["scores"] = json.dumps(json.loads(row["scores"]) | scores, sort_keys=True)
        return rows


def run(request: Request, context: Context) -> Result:
    """Combine the shards, decide, and write one manifest."""
    table = pd.concat([manifest.read(context.shard_folder(shard)) for shard in range(request.shards)])
    rows = table.sort_values("clip_id").to_dict("records")
    decide(rows, rule(request.settings, compact=is_compact(context.locate(request.checkpoint))))
    table = pd.DataFrame(rows, columns=list(manifest.COLUMNS))
    manifest.write(context.output, table)
    kept = table[table["status"] == "accepted"]
    scores = [json.loads(text) for text in table["scores"]]
    return Result(
        accepted=len(kept), rejected=len(table) - len(kept), mean_cosine=_mean(scores, "clap_cosine"),
        mean_caption_cosine=_mean(scores, "clap_text_caption"),
        accepted_per_label={str(label): int(count) for label, count in kept["label"].value_counts().sort_index().items()},
    )  # fmt: skip


def _mean(scores: list[dict[str, float]], name: str) -> float:
    """Return the mean of a score over the clips that have it, 0 without any."""
    known = [values[name] for values in scores if name in values]
    return round(sum(known) / len(known), DIGITS) if known else 0.0
