"""Alters the gold clips shard by shard and combines the copies into one dataset folder."""

from __future__ import annotations

import json
from dataclasses import asdict

from core import audio, derived, manifest
from core.context import Context
from tasks.augment.methods import apply
from tasks.augment.spec import STAGE, Request, Result


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Make the copies of the given shards."""
    settings = request.settings
    table = manifest.accepted(manifest.read(context.resolve(request.clips))).sort_values("clip_id")
    jobs = [(row, iteration) for row in table.itertuples() for iteration in range(settings.num_iters)]
    described = json.dumps(asdict(settings), sort_keys=True)
    total, done = sum(len(jobs[shard :: request.shards]) for shard in shards), 0
    for shard in shards:
        with context.shard(shard) as folder:
            rows = []
            for row, iteration in jobs[shard :: request.shards]:
                samples, rate_hz = audio.read(context.resolve(row.path))
                seed = derived.clip_seed(settings.seed, row.clip_id, iteration)
                sound, parameters = apply(samples.mean(axis=0), rate_hz, seed, settings)
                values = {
                    "label": row.label, "caption": row.caption, "split": row.split, "parents": [row.clip_id],
                    "parameters": {"method": settings.method, "seed": seed, "iteration": iteration, **parameters},
                }  # fmt: skip
                name = manifest.clip_id(STAGE.name, row.clip_id, seed, described)
                rows.append(derived.write_clip(STAGE.name, name, sound, rate_hz, values, context, folder))
                done += 1
                context.progress(done, total)
            manifest.write(folder, manifest.frame(rows))


def run(request: Request, context: Context) -> Result:
    """Combine the shards."""
    return Result(**derived.combine(context, request.shards))
