"""Copies of the mode ``mono``: train clips in simulated rooms, one channel; label, length and rate are the clip's, as ``augment`` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import audio, derived, manifest, reuse
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.spatial import words
from tasks.spatial.catalogue import Catalogue, open_catalogue
from tasks.spatial.convolution import convolve
from tasks.spatial.scenes import LABELS
from tasks.spatial.words import Wording
from tasks.spatial_features import levels
from tasks.spatial_features.levels import Level
from tasks.spatial_features.rendering import load_rirs
from tasks.spatialise.spec import STAGE, Request, Settings


@dataclass(frozen=True)
class Job:
    """One copy to make."""

    clip_id: str
    clip: Any
    """The row of the clip that is copied."""
    iteration: int
    seed: int
    place: int
    """The RIR's row in the catalogue."""


def jobs(request: Request, context: Context) -> list[Job]:
    """Return the copies to make.

    Raises:
        InvalidValueError: a clip is no train clip, or the catalogue has no room for such clips.
    """
    settings, catalogue = request.settings, open_catalogue(context.resolve(request.catalogue))
    table = manifest.accepted(manifest.read(context.resolve(request.clips))).sort_values("clip_id")
    manifest.require_train(table, request.clips)
    known = catalogue.table.sort_values("rir_path")
    known = known[known["split"] == "train"]
    if not len(known):
        raise InvalidValueError("no RIR of the split train", where=request.catalogue, allowed="train rows", received=0)
    defining = {name: value for name, value in to_dict(settings).items() if name in ("mode", "level", "target_db", "trim_delay", "noise")}
    described = json.dumps({**defining, "snr_db": (settings.min_snr_db, settings.max_snr_db)}, sort_keys=True)
    made = []
    for row in table.itertuples():
        for iteration in range(settings.per_clip):
            seed = derived.clip_seed(settings.seed, row.clip_id, iteration)
            place = int(known.index[int(np.random.default_rng(seed).integers(len(known)))])
            name = manifest.clip_id(STAGE.name, row.clip_id, seed, catalogue.table.loc[place, "spatial_id"], described)
            made.append(Job(name, row, iteration, seed, place))
    return made


def hangs_on(some: list[Job]) -> dict[str, list[str]]:
    """Return what decides each copy besides the rooms and the settings, by clip_id."""
    return {job.clip_id: [job.clip.sha256, job.clip.label, job.clip.caption, job.clip.split, str(job.place)] for job in some}


def write_shard(
    request: Request, context: Context, earlier: reuse.Reuse, folder: Path, some: list[Job], report: Callable[[int], None]
) -> None:  # fmt: skip
    """Write copies into a shard's folder, those that an earlier output has by taking them over."""
    catalogue = open_catalogue(context.resolve(request.catalogue))
    rows = []
    for job in some:
        rows.append(earlier.clip(job.clip_id, folder) or _make(job, request, context, folder, catalogue))
        report(1)
    manifest.write(folder, manifest.frame(rows))


def _make(job: Job, request: Request, context: Context, folder: Path, catalogue: Catalogue) -> dict[str, Any]:
    """Write one copy and return its manifest row."""
    row, rir = job.clip, catalogue.table.loc[job.place].to_dict()
    sound, rate_hz, told = copy(context.resolve(row.path), catalogue, job.place, request.settings, job.clip_id)
    values = {
        "label": row.label, "caption": row.caption, "split": row.split, "parents": [row.clip_id],
        "parameters": {"method": "simulated_room", "seed": job.seed, "iteration": job.iteration, **place_of(rir, catalogue), **told},
    }  # fmt: skip
    return derived.write_clip(STAGE.name, job.clip_id, sound, rate_hz, values, context, folder)


def place_of(rir: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """Return what a copy's row tells of its RIR."""
    wording = Wording(catalogue.meta["azimuth_sign"])
    named = {name: str(rir[name]) for name in ("spatial_id", "room_id") if name in rir}
    numbers = {name: float(rir[name]) for name in (*LABELS, "drr_db") if name in rir and np.isfinite(float(rir[name]))}
    return {**named, **numbers, "descriptor_id": words.descriptor_id(words.describe(rir, wording))}


def copy(path: Path, catalogue: Catalogue, place: int, settings: Settings, name: str) -> tuple[audio.Samples, int, dict[str, float]]:
    """Return a clip in a room: float32 [samples] at its own rate and length, its rate, and the gain it got."""
    samples, rate_hz = audio.read(path)
    rir = load_rirs(catalogue, [place], settings.trim_delay)[0, :1].numpy()
    # A resampled pulse of an nth of the rate has n times fewer samples, and with that an nth of the gain.
    heard = audio.resample(rir, catalogue.sample_rate_hz, rate_hz) * np.float32(catalogue.sample_rate_hz / rate_hz)
    wet = torch.from_numpy(convolve(samples.mean(axis=0), heard))
    policy = "peak" if settings.level == "raw" else settings.level
    ratio = (settings.min_snr_db, settings.max_snr_db) if settings.noise else None
    level = Level(policy, settings.target_db, ratio, settings.seed)
    found, told = levels.apply(wet[None], level, rate_hz, [name])
    return found[0, 0].numpy(), rate_hz, told[0]
