"""Copies of the mode ``mono``: train clips in simulated rooms, one channel; label, length and rate are the clip's, as ``augment`` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import audio, derived, manifest
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

Job = tuple[Any, int]
"""A clip's row, and the number of its copy."""


def jobs(request: Request, context: Context) -> list[Job]:
    """Return the copies to make.

    Raises:
        InvalidValueError: a clip is no train clip.
    """
    table = manifest.accepted(manifest.read(context.resolve(request.clips))).sort_values("clip_id")
    manifest.require_train(table, request.clips)
    return [(row, iteration) for row in table.itertuples() for iteration in range(request.settings.per_clip)]


def write_shard(request: Request, context: Context, folder: Path, some: list[Job], report: Callable[[int], None]) -> None:
    """Write copies into a shard's folder."""
    settings = request.settings
    catalogue = open_catalogue(context.resolve(request.catalogue))
    known = catalogue.table.sort_values("rir_path")
    known = known[known["split"] == "train"]
    if not len(known):
        raise InvalidValueError("no RIR of the split train", where=request.catalogue, allowed="train rows", received=0)
    defining = {name: value for name, value in to_dict(settings).items() if name in ("mode", "level", "target_db", "trim_delay", "noise")}
    described = json.dumps({**defining, "snr_db": (settings.min_snr_db, settings.max_snr_db)}, sort_keys=True)
    rows = []
    for row, iteration in some:
        seed = derived.clip_seed(settings.seed, row.clip_id, iteration)
        place = int(known.index[int(np.random.default_rng(seed).integers(len(known)))])
        rir = catalogue.table.loc[place].to_dict()
        name = manifest.clip_id(STAGE.name, row.clip_id, seed, rir["spatial_id"], described)
        sound, rate_hz, told = copy(context.resolve(row.path), catalogue, place, settings, name)
        values = {
            "label": row.label, "caption": row.caption, "split": row.split, "parents": [row.clip_id],
            "parameters": {"method": "simulated_room", "seed": seed, "iteration": iteration, **place_of(rir, catalogue), **told},
        }  # fmt: skip
        rows.append(derived.write_clip(STAGE.name, name, sound, rate_hz, values, context, folder))
        report(1)
    manifest.write(folder, manifest.frame(rows))


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
