"""Clips made from other clips, shard by shard: a seed for each, one way to write them, one way to combine the shards."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd

from core import atomic, audio, keys, manifest
from core.audio_checks import Limits, Unusable, check
from core.context import Context


def clip_seed(seed: int, clip_id: str, iteration: int) -> int:
    """Return a clip's own seed, below 2³¹ so that every library takes it; it depends on neither shards nor workers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{clip_id}/{iteration}".encode()).digest()[:4], "big") >> 1


def write_clip(
    stage: str, clip_id: str, sound: audio.Samples, rate_hz: int, values: dict[str, Any], context: Context, folder: Path
) -> dict[str, Any]:  # fmt: skip
    """Write one mono clip into a shard's folder and return its manifest row; an unusable one is rejected with its reason.

    Args:
        stage: the stage that made it.
        clip_id: the clip's id.
        sound: float32 [samples].
        rate_hz: its sample rate.
        values: further columns of the row.
        context: the stage's context.
        folder: the shard's folder.
    """
    try:
        check(sound[None], rate_hz, Limits(min_duration_s=0.0, max_duration_s=1e9))
    except Unusable as error:
        return manifest.row(clip_id, f"rejected/{clip_id}", stage, status="rejected", reason=str(error), **values)
    path = folder / "audio" / f"{clip_id}.flac"
    audio.write(path, sound, rate_hz, "PCM_16")
    final = context.published(context.output / "audio" / path.name)
    written = {"duration_s": len(sound) / rate_hz, "sample_rate_hz": rate_hz, "channels": 1, "sha256": keys.file_digest(path)}
    return manifest.row(clip_id, final, stage, **{**values, **written})


def combine(context: Context, shards: int) -> dict[str, Any]:
    """Combine the shards into one dataset folder and count it; sounds are linked, so a kill in between loses nothing.

    Returns:
        ``clips``, ``rejected`` among them, and ``seconds`` in all.
    """
    tables = []
    for shard in range(shards):
        folder = context.shard_folder(shard)
        tables.append(manifest.read(folder))
        for path in (folder / "audio").glob("*.flac"):
            atomic.link(path, context.output / "audio" / path.name)
    table = pd.concat(tables).sort_values("clip_id").reset_index(drop=True)
    manifest.write(context.output, table)
    rejected, seconds = int((table["status"] == "rejected").sum()), round(float(table["duration_s"].sum()), 3)
    return {"clips": len(table), "rejected": rejected, "seconds": seconds}
