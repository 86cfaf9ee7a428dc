"""Alters the gold clips shard by shard and combines the copies into one dataset folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core import audio, derived, manifest, reuse
from core.context import Context
from tasks.augment.methods import apply
from tasks.augment.spec import STAGE, Request, Result


@dataclass(frozen=True)
class Job:
    """One copy to make."""

    clip_id: str
    gold: Any
    """The gold clip's row."""
    iteration: int
    seed: int


def jobs(request: Request, context: Context) -> list[Job]:
    """Return the copies to make, in the order of their gold clips' ids."""
    settings = request.settings
    described = json.dumps(asdict(settings), sort_keys=True)
    table = manifest.accepted(manifest.read(context.resolve(request.clips))).sort_values("clip_id")
    made = []
    for row in table.itertuples():
        for iteration in range(settings.num_iters):
            seed = derived.clip_seed(settings.seed, str(row.clip_id), iteration)
            made.append(Job(manifest.clip_id(STAGE.name, row.clip_id, seed, described), row, iteration, seed))
    return made


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Make the copies of the given shards."""
    everything = jobs(request, context)
    total, done = sum(len(everything[shard :: request.shards]) for shard in shards), 0

    def hangs_on(given: Request) -> dict[str, list[str]]:
        found = everything if given is request else jobs(given, context)
        return {job.clip_id: [job.gold.sha256, job.gold.label, job.gold.caption, job.gold.split] for job in found}

    with reuse.earlier(STAGE, request, context, hangs_on) as earlier:
        for shard in shards:
            with context.shard(shard) as folder:
                rows = []
                for job in everything[shard :: request.shards]:
                    rows.append(earlier.clip(job.clip_id, folder) or _make(job, request, context, folder))
                    done += 1
                    context.progress(done, total)
                manifest.write(folder, manifest.frame(rows))


def _make(job: Job, request: Request, context: Context, folder: Path) -> dict[str, Any]:
    """Write one copy and return its manifest row."""
    samples, rate_hz = audio.read(context.resolve(job.gold.path))
    sound, parameters = apply(samples.mean(axis=0), rate_hz, job.seed, request.settings)
    values = {
        "label": job.gold.label, "caption": job.gold.caption, "split": job.gold.split, "parents": [job.gold.clip_id],
        "parameters": {"method": request.settings.method, "seed": job.seed, "iteration": job.iteration, **parameters},
    }  # fmt: skip
    return derived.write_clip(STAGE.name, job.clip_id, sound, rate_hz, values, context, folder)


def run(request: Request, context: Context) -> Result:
    """Combine the shards."""
    return Result(**derived.combine(context, request.shards))
