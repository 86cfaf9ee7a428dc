"""Embeds shard by shard; writes ``embeddings.npy`` [clips, d], ``table.parquet`` with a row for each, and what was used."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from core import atomic
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.embed.clips import open_clips
from tasks.embed.encoders import heard, open_encoder
from tasks.embed.spec import Request, Result
from tasks.matmul import use_fast_float32
from tasks.training.start import repeatable

COLUMNS = ("clip_id", "label", "split", "fold", "origin", "duration_s", "parameters")
"""Columns of the manifest that the table keeps; beside them ``stretches`` and ``heard``."""
ARRAY, TABLE = "embeddings.npy", "table.parquet"


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the encoder once, then embed the given shards; a clip's embedding hangs on nothing but the clip."""
    repeatable(context)
    use_fast_float32(context.device)
    clips = open_clips(request.clips, context)
    table = clips.table
    encoder, known = open_encoder(request, context), heard(request, context)
    total, done = sum(len(table.iloc[shard :: request.shards]) for shard in shards), 0
    for shard in shards:
        rows: list[dict[str, Any]] = []
        vectors: list[np.ndarray[Any, Any]] = []
        rejected: dict[str, str] = {}
        with context.shard(shard) as folder:
            for row in table.iloc[shard :: request.shards].to_dict("records"):
                try:
                    sound = clips.sound(row, encoder.sample_rate_hz)
                except (soundfile.LibsndfileError, OSError) as error:
                    rejected[row["clip_id"]] = str(error)
                    continue
                vector, stretches = encoder(sound)
                if not np.isfinite(vector).all():
                    rejected[row["clip_id"]] = "the embedding is not finite"
                    continue
                vectors.append(vector)
                own = {row["clip_id"], *row["parents"]}
                rows.append({**{name: row[name] for name in COLUMNS}, "stretches": stretches, "heard": bool(own & known)})
                done += 1
                context.progress(done, total)
            with (folder / ARRAY).open("wb") as file:
                np.save(file, np.stack(vectors) if vectors else np.empty((0, encoder.dimensions), np.float32))
            pd.DataFrame(rows, columns=[*COLUMNS, "stretches", "heard"]).to_parquet(folder / TABLE, index=False)
            atomic.write_json(folder / "rejected.json", rejected)


def run(request: Request, context: Context) -> Result:
    """Combine the shards, in the order of the clips' ids.

    Raises:
        InvalidValueError: too many clips could not be embedded.
    """
    folders = [context.shard_folder(shard) for shard in range(request.shards)]
    tables = [pd.read_parquet(folder / TABLE) for folder in folders]
    table = pd.concat([part for part in tables if len(part)] or tables[:1], ignore_index=True)
    array = np.concatenate([np.load(folder / ARRAY, allow_pickle=False) for folder in folders])
    rejected = _rejected(request, context, len(table))
    order = table["clip_id"].argsort().to_numpy()
    table, array = table.iloc[order].reset_index(drop=True), np.ascontiguousarray(array[order], dtype=np.float32)
    with atomic.replacing(context.output / ARRAY) as temporary, temporary.open("wb") as file:
        np.save(file, array)
    with atomic.replacing(context.output / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    result = Result(
        clips=len(table), dimensions=array.shape[1], stretches=int(table["stretches"].sum()), rejected=len(rejected),
        heard=int(table["heard"].sum()),
    )  # fmt: skip
    atomic.write_json(context.output / "rejected.json", rejected)
    about = {"encoder": request.encoder, "checkpoint": request.checkpoint, "clips_from": request.clips}
    atomic.write_json(context.output / "embedding.json", {**to_dict(result), **about, "settings": to_dict(request.settings)})
    return result


def _rejected(request: Request, context: Context, embedded: int) -> dict[str, str]:
    """Return why clips are missing.

    Raises:
        InvalidValueError: too many are.
    """
    found: dict[str, str] = {}
    for shard in range(request.shards):
        found |= json.loads((context.shard_folder(shard) / "rejected.json").read_text())
    if len(found) > request.settings.max_reject_fraction * (embedded + len(found)) or not embedded:
        allowed = f"a share of {request.settings.max_reject_fraction}"
        first = dict(list(found.items())[:5])
        raise InvalidValueError("too many clips cannot be embedded", where=request.clips, allowed=allowed, received=first)
    return found
