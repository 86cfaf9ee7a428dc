"""Scores shard by shard, decides once all scores are known; the audio stays where it is, only the manifest is new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from core import audio, manifest
from core.audio_checks import Limits, Unusable
from core.audio_checks import load as load_sound
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_filter.rules import DIGITS, decide, rule, score_clip
from tasks.clap_filter.spec import Request, Result
from tasks.clap_model.loading import CompactClap, PublishedClap, is_compact, load
from tasks.clap_model.windows import template, windows
from tasks.matmul import use_fast_float32

CLIPS_AT_ONCE = 32
"""Clips that are in memory together; their windows are embedded in batches."""
WINDOWS_ON_CPU = 4
"""Windows a CPU embeds at a time at most: the activations of more no longer fit its caches (0.15 s each with 4, 0.20 with 1 or 16)."""
TEXTS_AT_ONCE = 16


def checkpoint_path(request: Request, context: Context) -> Path:
    """Return where the checkpoint is: another stage's output, or a file or folder outside the store."""
    return context.resolve(request.checkpoint) if request.checkpoint.startswith("stages/") else Path(request.checkpoint)


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the model once, then score the given shards."""
    torch.set_num_threads(context.threads)
    use_fast_float32()
    table = manifest.read(context.resolve(request.clips)).sort_values("clip_id").reset_index(drop=True)
    if (table["split"] != "train").any():
        others = sorted(set(table["split"]) - {"train"})
        raise InvalidValueError("clips that are not train clips", where="clap_filter.clips", allowed="split train", received=others)
    total, done = sum(len(table.iloc[shard :: request.shards]) for shard in shards), 0
    scorer = _Scorer(request, context, sorted(set(table["label"]))) if total else None
    for shard in shards:
        own = table.iloc[shard :: request.shards]
        with context.shard(shard) as folder:
            rows: list[dict[str, Any]] = []
            for start in range(0, len(own), CLIPS_AT_ONCE):
                assert scorer is not None
                rows += scorer.score(own.iloc[start : start + CLIPS_AT_ONCE].to_dict("records"))
                done = min(total, done + CLIPS_AT_ONCE)
                context.progress(done, total)
            manifest.write(folder, pd.DataFrame(rows, columns=list(manifest.COLUMNS)))


class _Scorer:
    """The loaded model, the labels' texts, and the captions embedded so far."""

    def __init__(self, request: Request, context: Context, labels: list[str]) -> None:
        self.context, self.labels, self.batch = context, labels, request.settings.batch_size
        if context.device == "cpu":
            self.batch = min(self.batch, WINDOWS_ON_CPU)
        self.model: CompactClap | PublishedClap
        self.model, _ = load(checkpoint_path(request, context), request.settings.audio_model, request.settings.text_model, context.device)
        self.scale = self.model.logit_scale()
        self.length = round(self.model.window_s * self.model.sample_rate_hz)
        self._texts: dict[str, torch.Tensor] = {}
        self.of_labels = self.texts([template(label) for label in labels])

    @torch.inference_mode()
    def texts(self, texts: list[str]) -> torch.Tensor:
        """Return unit-length embeddings [texts, dim]; a text is embedded once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for start in range(0, len(new), TEXTS_AT_ONCE):
            part = new[start : start + TEXTS_AT_ONCE]
            # Twice: a one-text batch breaks in laion-clap's tokenizer, and costs nothing to avoid.
            embedded = self.model.text_embedding(part * 2 if len(part) == 1 else part)
            self._texts.update(zip(part, embedded, strict=False))
        return torch.stack([self._texts[text] for text in texts])

    @torch.inference_mode()
    def score(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows with scores; rows that came rejected stay as they are, unreadable ones are rejected."""
        cut = []
        for row in rows:
            if row["status"] != "accepted":
                continue
            try:
                samples, rate_hz = load_sound(self.context.resolve(row["path"]), Limits(min_duration_s=0.0, max_duration_s=3600.0))
            except (Unusable, OSError) as error:
                row["status"], row["reason"] = "rejected", f"unreadable: {error}"
                continue
            cut.append((row, windows(audio.resample(samples.mean(axis=0), rate_hz, self.model.sample_rate_hz), self.length)))
        if not cut:
            return rows
        parts = torch.cat([part for _, part in cut]).to(self.context.device).split(self.batch)
        embedded = torch.cat([self.model.audio_embedding(part) for part in parts])
        captions = self.texts([row["caption"] or template(row["label"]) for row, _ in cut])
        for (row, part), caption in zip(cut, captions, strict=True):
            own, embedded = embedded[: len(part)], embedded[len(part) :]
            scores = score_clip((own @ self.of_labels.T).mean(0).cpu(), self.labels.index(row["label"]), self.scale)
            scores["clap_text_caption"] = round(float((own @ caption).mean()), DIGITS)
            row["scores"] = json.dumps(json.loads(row["scores"]) | scores, sort_keys=True)
        return rows


def run(request: Request, context: Context) -> Result:
    """Combine the shards, decide, and write one manifest."""
    table = pd.concat([manifest.read(context.shard_folder(shard)) for shard in range(request.shards)])
    rows = table.sort_values("clip_id").to_dict("records")
    decide(rows, rule(request.settings, compact=is_compact(checkpoint_path(request, context))))
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
