"""Renders attributes step by step and ranks who listens; writes ``ranking.json``, ``ranking_rows.csv``, and the sounds if they are kept."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch

from core import atomic
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from core.rows import shard_rows
from tasks.presets import library
from tasks.presets.parameters import SynthSpec
from tasks.rank_audio_models import attributes_file, kept_sounds, ranking
from tasks.rank_audio_models.attributes_file import Attributes, Sweep
from tasks.rank_audio_models.listening import Audio, heard, open_ears
from tasks.rank_audio_models.spec import Request, Result, Settings
from tasks.renderer.interface import Note, RenderSettings
from tasks.renderer.pool import Job, Pool

SCORES = "scores.json"


def attributes_of(settings: Settings, context: Context) -> tuple[Attributes, SynthSpec, list[str]]:
    """Return the attributes, the synthesiser's spec, and the names of those that are used."""
    every = attributes_file.load(context.locate(settings.attributes) if settings.attributes else settings.synth)
    return every, library.load_spec(every.synth), list(settings.only or every.attributes)


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Render the attributes of each shard and have everyone listen."""
    torch.set_num_threads(context.threads)
    settings = request.settings
    every, spec, names = attributes_of(settings, context)
    ears = open_ears(settings.models, context)
    rate_hz = max(settings.least_rate_hz, *(ear.sample_rate_hz for ear in ears))
    plugin = str(context.locate(settings.plugin)) if settings.plugin else settings.uri
    rendering = RenderSettings(rate_hz, settings.duration_s, settings.fade_s)
    ranges = shard_rows(len(names), request.shards)
    total, done = sum(len(ranges[shard]) for shard in shards) * settings.presets, 0
    with Pool(spec.backend, plugin, rendering, request.workers, settings.timeout_s) as pool:
        about = {"plugin": pool.identity(), "rate_hz": rate_hz, "ears": {ear.title: [ear.identity, ear.dimensions] for ear in ears}}
        for shard in shards:
            rows: list[dict[str, Any]] = []
            redrawn = 0
            with context.shard(shard) as folder:
                for place in ranges[shard]:
                    name = names[place]
                    sweep = Sweep(spec, every, name, settings.seed)
                    kept = kept_sounds.made(folder, place, (settings.presets, settings.steps, rendering.samples), settings.keep_sounds)
                    for preset in range(settings.presets):
                        sounds, attempts = rendered(sweep, preset, settings, pool)
                        if kept is not None:
                            kept[preset] = sounds
                        rows += heard(ears, sounds, rate_hz, name, preset)
                        redrawn += attempts
                        done += 1
                        context.progress(done, total, "presets")
                atomic.write_json(folder / SCORES, {"rows": rows, "redrawn": redrawn, **about})


def rendered(sweep: Sweep, preset: int, settings: Settings, pool: Pool) -> tuple[Audio, int]:
    """Return the sounds [steps, T] of the first draw of a preset that is audible and different at every step, and how many were not.

    Raises:
        InvalidValueError: no such draw.
    """
    note, reason = Note(hold_s=settings.hold_s), ""
    for attempt in range(settings.max_tries):
        jobs = (Job(step, raw, note) for step, raw in enumerate(sweep.raw(preset, attempt, settings.steps)))
        outcomes = list(pool.render(jobs))
        reason = unusable([one.audio for one in outcomes], settings.min_rms) or next((one.reason for one in outcomes if one.reason), "")
        if not reason:
            return np.stack([one.audio for one in outcomes if one.audio is not None]), attempt
    raise InvalidValueError("no usable preset", where=f"rank_audio_models.{sweep.name}", allowed=f"one of {settings.max_tries} draws",
                            received=reason, hint="see the synthesiser's file of attributes")  # fmt: skip


def unusable(sounds: list[Audio | None], min_rms: float) -> str:
    """Return why the steps of a preset cannot be ranked, if so."""
    heard = [sound for sound in sounds if sound is not None]
    if len(heard) < len(sounds):
        return ""  # the outcomes' own reason says more
    levels = [math.sqrt(float(np.mean(np.square(sound, dtype=np.float64)))) for sound in heard]
    if not all(math.isfinite(level) and level > min_rms for level in levels):
        return f"too soft: {min(levels):.3g}"
    return "" if len({sound.tobytes() for sound in heard}) == len(heard) else "two steps sound the same"


def run(request: Request, context: Context) -> Result:
    """Average over presets and attributes, and rank."""
    settings = request.settings
    every, _, names = attributes_of(settings, context)
    told = [json.loads((context.shard_folder(shard) / SCORES).read_text()) for shard in range(request.shards)]
    rows = [row for one in told for row in one["rows"]]
    redrawn = sum(one["redrawn"] for one in told)
    attributes = {name: {"title": every.attributes[name].title, "stands_for": every.attributes[name].stands_for} for name in names}
    sounds = {}
    if settings.keep_sounds:
        folders = [context.shard_folder(shard) for shard, some in enumerate(shard_rows(len(names), request.shards)) for _ in some]
        sounds = {name: kept_sounds.published(folders[place], place, context.output) for place, name in enumerate(names)}
    rows_of_table = ranking.write(context.output, rows, told[0]["ears"], {
        "attributes": attributes, "sounds": sounds, "notes": every.notes, "synth": every.synth, "plugin": told[0]["plugin"],
        "rendered_at_hz": told[0]["rate_hz"], "redrawn": redrawn, "settings": to_dict(settings),
    })  # fmt: skip
    best = rows_of_table[0]
    return Result(
        models=len(settings.models), attributes=len(names), presets=settings.presets, steps=settings.steps,
        sounds=len(names) * settings.presets * settings.steps, redrawn=redrawn, best=best["model"], best_distance=best["distance"],
        best_correlation=best["correlation"], table=ranking.table_of(rows_of_table),
    )  # fmt: skip
