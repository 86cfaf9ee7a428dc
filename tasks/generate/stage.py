"""Generates clips shard by shard and combines them into one dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from core import audio, derived, manifest, reuse
from core.context import Context
from tasks.generate.jobs import Job, gold_rows, hangs_on, jobs
from tasks.generate.sampling import chosen_sampler, sample
from tasks.generate.spec import STAGE, Request, Result, Settings
from tasks.generate.starts import Start, Starts
from tasks.matmul import use_fast_float32
from tasks.text_to_audio.model import TextToAudio, load


def precision_of(settings: Settings, device: str) -> str:
    """Return what the transformer computes in: ``float32`` or ``bfloat16``."""
    return settings.precision if settings.precision != "auto" else "bfloat16" if device == "cuda" else "float32"


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the model once, then generate the given shards."""
    torch.set_num_threads(context.threads)
    everything = jobs(request, manifest.read(context.resolve(request.clips)))
    total, done = sum(len(everything[shard :: request.shards]) for shard in shards), 0
    work: _Work | None = None  # loaded for the first clip that no earlier output has

    def read(output: str) -> pd.DataFrame:
        return manifest.read(context.resolve(output))

    with reuse.earlier(STAGE, request, context, lambda given: hangs_on(given, read)) as earlier:
        for shard in shards:
            with context.shard(shard) as folder:
                found = [(job, earlier.clip(job.clip_id, folder)) for job in everything[shard :: request.shards]]
                rows = [row for _, row in found if row]
                missing = [job for job, row in found if not row]
                done += len(rows)
                for start in range(0, len(missing), request.settings.batch_size):
                    batch = missing[start : start + request.settings.batch_size]
                    work = work or _Work(request, context)
                    rows += work.generate(batch, folder)
                    done += len(batch)
                    context.progress(done, total)
                context.progress(done, total)
                manifest.write(folder, manifest.frame(rows))


class _Work:
    """The loaded model and what a batch needs besides."""

    def __init__(self, request: Request, context: Context) -> None:
        self.request, self.context, self.settings = request, context, request.settings
        self.model: TextToAudio = load(context.resolve(request.model))
        self.sampler = chosen_sampler(self.settings, self.model.model.diffusion_objective)
        self.precision = precision_of(self.settings, context.device)
        if self.precision == "bfloat16":
            self.model.use_bfloat16()
        self.model.model.to(context.device)
        use_fast_float32(context.device, self.model.latent_frames)
        folder = request.gold or request.clips
        gold = gold_rows(manifest.read(context.resolve(folder)), "generate.gold" if request.gold else "generate.clips")
        pool = gold_rows(manifest.read(context.resolve(request.pool)), "generate.pool") if request.pool else None
        self.starts = Starts(self.model, gold, self.settings, context, pool)

    def generate(self, batch: list[Job], folder: Path) -> list[dict[str, Any]]:
        """Generate a batch of clips, write them, and return their rows."""
        model, settings, rate_hz = self.model, self.settings, self.model.sample_rate_hz
        starts = [self.starts.start(job) for job in batch] if settings.initialize_audio else None
        seconds = [min(job.duration_s, model.canvas_s) for job in batch]
        latents = sample(
            model, [job.caption for job in batch], seconds, [job.seed for job in batch],
            torch.cat([start.latent for start in starts]) if starts else None, settings, self.context.device,
        )  # fmt: skip
        rows = []
        for number, (job, latent) in enumerate(zip(batch, latents, strict=True)):
            length = round(job.duration_s * rate_hz)
            sound = self._sound(latent[None], min(length, round(model.canvas_s * rate_hz)), starts[number] if starts else None)
            sound = audio.repeat_to(sound, length)  # longer than the canvas: repeat
            if settings.match_level:
                sound = levelled(sound, self.starts.sound(job.gold_path))
            values = self._values(job, starts[number] if starts else None)
            rows.append(derived.write_clip(STAGE.name, job.clip_id, sound, rate_hz, values, self.context, folder))
        return rows

    def _sound(self, latent: torch.Tensor, length: int, start: Start | None) -> audio.Samples:
        """Return the sound [length] of one clip's latent."""
        if start and self.settings.detail == "start":
            begun = torch.from_numpy(audio.fit_length(start.sound, length).astype(np.float32))
            return np.asarray(self.model.decode_onto(begun[None], start.latent, latent)[0].numpy())
        return np.asarray(self.model.decode(latent, length)[0].numpy())

    def _values(self, job: Job, start: Start | None) -> dict[str, Any]:
        """Return a clip's columns: where it comes from and everything that made it."""
        s = self.settings
        parameters: dict[str, Any] = {
            "seed": job.seed, "caption_index": job.caption_index, "iteration": job.iteration, "round": self.request.round,
            "sampler": self.sampler, "steps": s.steps, "cfg_scale": s.cfg_scale, "negative_prompt": s.negative_prompt,
            "precision": self.precision, "init_noise_level": s.init_noise_level if start else None, "model": self.request.model,
        }  # fmt: skip
        if start:
            parameters |= {name: getattr(s, name) for name in ("init_roll", "init_speed", "init_tilt_db", "detail")}
            mixed = start.partner and not start.pooled
            parameters |= {"init_mix": s.init_mix if mixed else 0.0, "partner": start.partner, "start": "pool" if start.pooled else "gold"}
        if job.revised_from:
            parameters["revised_from"] = job.revised_from
        parents = [job.gold_id, start.partner] if start and start.partner else [job.gold_id]
        return {"label": job.label, "caption": job.caption, "split": "train", "parents": parents, "parameters": parameters}


def levelled(sound: audio.Samples, gold: audio.Samples) -> audio.Samples:
    """Give a clip its gold clip's RMS level, less where it would clip: level must not tell synthetic from gold."""
    sound = sound - sound.mean()
    gain = float(np.sqrt(np.mean(gold**2)) / max(1e-9, np.sqrt(np.mean(sound**2))))
    peak = float(np.abs(sound).max()) * gain
    return (sound * gain * min(1.0, 0.98 / max(peak, 1e-9))).astype(np.float32)


def run(request: Request, context: Context) -> Result:
    """Combine the shards."""
    return Result(**derived.combine(context, request.shards))
