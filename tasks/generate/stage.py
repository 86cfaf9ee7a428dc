"""Generates clips shard by shard and combines them into one dataset folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from core import audio, derived, manifest
from core.context import Context
from tasks.generate.sampling import chosen_sampler, sample
from tasks.generate.spec import STAGE, Request, Result
from tasks.text_to_audio.model import TextToAudio, load


@dataclass(frozen=True)
class Job:
    """One clip to generate."""

    clip_id: str
    gold_id: str
    gold_path: str
    label: str
    caption: str
    caption_index: int
    iteration: int
    seed: int
    duration_s: float


def jobs(request: Request, table: pd.DataFrame) -> list[Job]:
    """Return every clip to generate: iteration ``it`` uses caption ``it``, beginning again when the captions run out."""
    made = []
    for row in table.sort_values("clip_id").itertuples():
        captions = json.loads(row.parameters).get("captions") or [row.caption]
        for iteration in range(request.settings.num_iters):
            index = iteration % len(captions)
            seed = derived.clip_seed(request.settings.seed, row.clip_id, iteration)
            # The model's key is in its path, the settings decide the sound: together with the seed they name the clip.
            name = manifest.clip_id(STAGE.name, request.model, row.clip_id, captions[index], seed, keys_of(request))
            made.append(
                Job(name, row.clip_id, row.path, row.label, captions[index], index, iteration, seed, float(row.duration_s))
            )  # fmt: skip
    return made


def keys_of(request: Request) -> str:
    """Return the settings that decide a clip's sound, as text."""
    s = request.settings
    return json.dumps(
        [s.initialize_audio, s.init_noise_level if s.initialize_audio else None, s.steps, s.cfg_scale, s.sampler, s.match_level]
    )


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the model once, then generate the given shards."""
    torch.set_num_threads(context.threads)
    model = load(context.resolve(request.model))
    model.model.to(context.device)
    everything = jobs(request, manifest.accepted(manifest.read(context.resolve(request.clips))))
    total, done = sum(len(everything[shard :: request.shards]) for shard in shards), 0
    for shard in shards:
        own = everything[shard :: request.shards]
        with context.shard(shard) as folder:
            rows: list[dict[str, Any]] = []
            for start in range(0, len(own), request.settings.batch_size):
                batch = own[start : start + request.settings.batch_size]
                rows += _generate(model, batch, request, context, folder)
                done += len(batch)
                context.progress(done, total)
            manifest.write(folder, manifest.frame(rows))


def _generate(model: TextToAudio, batch: list[Job], request: Request, context: Context, folder: Path) -> list[dict[str, Any]]:
    settings, rate_hz = request.settings, model.sample_rate_hz
    golds = [audio.load_mono(context.resolve(job.gold_path), rate_hz) for job in batch]
    starts = None
    if settings.initialize_audio:
        # Encoded one by one: lengths differ, and a latent must not depend on its neighbours.
        starts = torch.cat([model.encode(torch.from_numpy(gold)[None].to(context.device)) for gold in golds])
    seconds = [min(job.duration_s, model.canvas_s) for job in batch]
    latents = sample(model, [job.caption for job in batch], seconds, [job.seed for job in batch], starts, settings, context.device)
    rows = []
    for job, gold, latent in zip(batch, golds, latents, strict=True):
        length = round(job.duration_s * rate_hz)
        sound = model.decode(latent[None], min(length, round(model.canvas_s * rate_hz)))[0].numpy()
        sound = audio.fit_length(np.tile(sound, -(-length // max(1, len(sound)))), length)  # a gold clip longer than the canvas: repeat
        rows.append(_write(job, _levelled(sound, gold) if settings.match_level else sound, rate_hz, model, request, context, folder))
    return rows


def _levelled(sound: audio.Samples, gold: audio.Samples) -> audio.Samples:
    """Give a clip its gold clip's RMS level, less where it would clip: level must not tell synthetic from gold."""
    sound = sound - sound.mean()
    gain = float(np.sqrt(np.mean(gold**2)) / max(1e-9, np.sqrt(np.mean(sound**2))))
    peak = float(np.abs(sound).max()) * gain
    return (sound * gain * min(1.0, 0.98 / max(peak, 1e-9))).astype(np.float32)


def _write(
    job: Job, sound: audio.Samples, rate_hz: int, model: TextToAudio, request: Request, context: Context, folder: Path
) -> dict[str, Any]:
    """Write one clip and return its row; an unusable one is rejected with its reason."""
    s = request.settings
    parameters = {
        "seed": job.seed, "caption_index": job.caption_index, "iteration": job.iteration, "steps": s.steps, "cfg_scale": s.cfg_scale,
        "init_noise_level": s.init_noise_level if s.initialize_audio else None, "model": request.model,
        "sampler": chosen_sampler(s, model.model.diffusion_objective),
    }  # fmt: skip
    values = {
        "label": job.label, "caption": job.caption, "split": "train", "parents": [job.gold_id], "parameters": parameters,
    }  # fmt: skip
    return derived.write_clip(STAGE.name, job.clip_id, sound, rate_hz, values, context, folder)


def run(request: Request, context: Context) -> Result:
    """Combine the shards."""
    return Result(**derived.combine(context, request.shards))
