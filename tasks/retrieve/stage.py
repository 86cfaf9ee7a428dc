"""Embeds gold clips and pool shard by shard; then finds the nearest, and writes them at the gold clips' length and sample rate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.nn.functional import normalize

from core import audio, derived, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_model.embedding import CLIPS_AT_ONCE, Embedder
from tasks.clap_model.loading import load
from tasks.clap_model.windows import template
from tasks.contrastive.clips import ClipEmbedder
from tasks.matmul import use_fast_float32
from tasks.retrieve.nearest import DIGITS, choose, cosines
from tasks.retrieve.pool import left_out
from tasks.retrieve.spec import STAGE, Request, Result
from tasks.retrieve.words import shared_out, word_cosines

EMBEDDINGS = "embeddings.npz"


@dataclass(frozen=True)
class Inputs:
    """What is compared with what; both sorted by clip_id."""

    gold: pd.DataFrame
    pool: pd.DataFrame
    """The clips that may be retrieved."""
    left_out: dict[str, str]
    """Why the others may not, by clip_id."""

    def queries(self, by: str) -> list[str]:
        """Return the name of each gold clip's query: its own, or its label's text."""
        return [template(label) for label in self.gold["label"]] if by == "label_text" else list(self.gold["clip_id"])

    def sounds(self, by: str) -> dict[str, str]:
        """Return the paths of the sounds to embed by clip_id."""
        tables = {"label_text": [self.pool], "words": []}.get(by, [self.gold, self.pool])
        return {row.clip_id: row.path for table in tables for row in table.itertuples()}


def read(request: Request, context: Context) -> Inputs:
    """Read the tables, and sort out what must not be retrieved.

    Raises:
        InvalidValueError: no gold clips, gold clips that are not train clips, or nothing left to retrieve.
    """
    given = manifest.read(context.resolve(request.clips)).sort_values("clip_id").reset_index(drop=True)
    manifest.require_train(given, "retrieve.clips")
    evaluation = manifest.read(context.resolve(request.evaluation)) if request.evaluation else None
    pool, gold = manifest.read(context.resolve(request.pool)).sort_values("clip_id"), manifest.accepted(given)
    reasons = left_out(pool, given, evaluation)
    kept = pool[~pool["clip_id"].isin(reasons)].reset_index(drop=True)
    if gold.empty or kept.empty:
        where, received = ("retrieve.clips", "none") if gold.empty else ("retrieve.pool", dict(Counter(reasons.values())))
        raise InvalidValueError("no clips to go by", where=where, allowed="at least one usable clip", received=received)
    return Inputs(gold, kept, reasons)


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the model once, then embed the given shards' sounds; the labels' texts belong to the first shard."""
    torch.set_num_threads(context.threads)
    use_fast_float32(context.device)
    inputs, settings = read(request, context), request.settings
    sounds = sorted(inputs.sounds(settings.by).items())
    texts = sorted(set(inputs.queries(settings.by))) if settings.by == "label_text" else []
    embedder = _opened(request, context) if sounds else None
    total, done = sum(len(sounds[shard :: request.shards]) for shard in shards), 0
    for shard in shards:
        with context.shard(shard) as folder:
            own = sounds[shard :: request.shards]
            found: dict[str, Any] = {}
            if texts and shard == 0 and isinstance(embedder, Embedder):
                found = dict(zip(texts, embedder.texts(texts).cpu().numpy(), strict=True))
            unusable: dict[str, str] = {}
            for start in range(0, len(own), CLIPS_AT_ONCE):
                assert embedder  # there is one as soon as there are sounds
                embedded, faults = embedder.sounds({clip: context.resolve(path) for clip, path in own[start : start + CLIPS_AT_ONCE]})
                found |= {clip: _vector(made) for clip, made in embedded.items()}
                unusable |= {clip: getattr(error, "reason", "unreadable") for clip, error in faults.items()}
                done = min(total, done + CLIPS_AT_ONCE)
                context.progress(done, total)
            names = np.array(sorted(found), dtype=np.str_)
            vectors = np.array([found[name] for name in names], dtype=np.float32)
            reasons = np.array(sorted(unusable.items()), dtype=np.str_).reshape(-1, 2)
            np.savez(folder / EMBEDDINGS, names=names, vectors=vectors, unusable=reasons)


def _opened(request: Request, context: Context) -> Embedder | ClipEmbedder:
    """Return what embeds the sounds."""
    settings = request.settings
    if request.encoder:
        return ClipEmbedder(context.locate(request.encoder), context.device)
    model, _ = load(context.locate(request.checkpoint), settings.audio_model, settings.text_model, context.device)
    return Embedder(model, context.device, settings.batch_size)


def _vector(made: torch.Tensor | npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return a clip's embedding [dim] at unit length, of CLAP's windows [n, dim] or as the encoder gave it."""
    if isinstance(made, torch.Tensor):
        return np.asarray(normalize(made.mean(0), dim=0).cpu().numpy())
    return made.astype(np.float32)


def run(request: Request, context: Context) -> Result:
    """Find each gold clip's nearest pool clips and write them.

    Raises:
        InvalidValueError: a gold clip cannot be read, or the pool is too small.
    """
    inputs, settings = read(request, context), request.settings
    pool, similarity, unusable = _compared(request, inputs, context)
    by_words = settings.by == "words"
    chosen = (
        shared_out(similarity, settings.per_clip, settings.unique) if by_words else choose(similarity, settings.per_clip, settings.unique)
    )
    rows = []
    for number, (gold, columns) in enumerate(zip(inputs.gold.itertuples(), chosen, strict=True)):
        for rank, column in enumerate(columns, start=1):
            score = float(similarity[number, column])
            rows.append(_write(gold, pool.iloc[column], rank, score, settings.by, context))
        context.progress(number + 1, len(chosen))
    manifest.write(context.output, manifest.frame(rows).sort_values("clip_id"))
    reasons = Counter([*inputs.left_out.values(), *unusable.values()])
    given = np.concatenate([similarity[number, columns] for number, columns in enumerate(chosen)])
    return Result(
        clips=len(rows), rejected=sum(row["status"] != "accepted" for row in rows),
        seconds=round(sum(row["duration_s"] for row in rows), 3), pool=len(inputs.pool) + len(inputs.left_out), eligible=len(pool),
        left_out=dict(sorted(reasons.items())), distinct=len({column for columns in chosen for column in columns}),
        mean_cosine=round(float(given.mean()), DIGITS) if len(given) else 0.0,
    )  # fmt: skip


def _compared(request: Request, inputs: Inputs, context: Context) -> tuple[pd.DataFrame, npt.NDArray[np.float64], dict[str, str]]:
    """Return the usable pool clips, their similarity to the gold clips [gold, pool], and why others cannot be used, by clip_id.

    Raises:
        InvalidValueError: a gold clip cannot be read, or no pool clip can.
    """
    if request.settings.by == "words":
        return inputs.pool, word_cosines(list(inputs.gold["label"]), list(inputs.pool["label"])), {}
    vectors, unusable = _embeddings(request, context)
    queries = inputs.queries(request.settings.by)
    lost = sorted(set(queries) & set(unusable))
    if lost:
        raise InvalidValueError("gold clips cannot be read", where="retrieve.clips", allowed="sound files", received=lost[:5])
    pool = inputs.pool[~inputs.pool["clip_id"].isin(unusable)].reset_index(drop=True)
    if pool.empty:
        raise InvalidValueError("no usable clip", where="retrieve.pool", allowed="at least one", received=dict(Counter(unusable.values())))
    return pool, cosines(np.stack([vectors[name] for name in queries]), np.stack([vectors[name] for name in pool["clip_id"]])), unusable


def _embeddings(request: Request, context: Context) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, str]]:
    """Return all shards' embeddings by name, and why clips could not be read by clip_id."""
    vectors: dict[str, npt.NDArray[np.float32]] = {}
    unusable: dict[str, str] = {}
    for shard in range(request.shards):
        with np.load(context.shard_folder(shard) / EMBEDDINGS, allow_pickle=False) as stored:
            vectors |= dict(zip(stored["names"].tolist(), stored["vectors"], strict=True))
            unusable |= {str(clip_id): str(reason) for clip_id, reason in stored["unusable"]}
    return vectors, unusable


def _write(gold: Any, found: Any, rank: int, score: float, by: str, context: Context) -> dict[str, Any]:
    """Write one retrieved clip, cut or repeated to the gold clip's length, and return its manifest row."""
    sound = audio.load_mono(context.resolve(found["path"]), gold.sample_rate_hz)
    length = round(gold.duration_s * gold.sample_rate_hz)
    # Repeated before it is cut: zeros at the end would tell the classifier which clips were retrieved.
    sound = audio.repeat_to(sound, length)
    values = {
        "label": gold.label, "caption": found["caption"], "split": "train", "parents": [gold.clip_id, found["clip_id"]],
        "parameters": {"by": by, "rank": rank, "pool_label": found["label"]}, "scores": {"cosine": score},
    }  # fmt: skip
    clip_id = manifest.clip_id(STAGE.name, gold.clip_id, found["clip_id"], length, gold.sample_rate_hz)
    return derived.write_clip(STAGE.name, clip_id, sound, gold.sample_rate_hz, values, context, context.output)
