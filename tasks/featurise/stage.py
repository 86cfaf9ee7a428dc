"""Transforms the clips shard by shard; then joins the arrays, and writes the split and how to undo the normalisation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from core import atomic
from core.context import Context
from core.errors import InvalidValueError
from core.rows import shard_rows
from tasks.featurise.normalise import LEGACY_FLAG, normalised, numbers
from tasks.featurise.spec import Request, Result
from tasks.featurise.splits import split_of
from tasks.grid.features import ARRAY, DESCRIPTION
from tasks.grid.mel import MelFrontEnd, frames_of
from tasks.grid.reading import TABLE, Grid, open_grid

PART, COUNTS = "values.npy", "counts.json"
COPY_ROWS = 1024


def _front_end(request: Request, grid: Grid) -> tuple[MelFrontEnd, float]:
    """Return the front-end and the mel power of 0 dB.

    Raises:
        InvalidValueError: the pictures' width is no multiple of 8.
    """
    s, frames = request.settings, frames_of(grid.samples_per_clip, request.settings.hop)
    if frames % 8:
        samples, near = grid.samples_per_clip, max(8, 8 * round(frames / 8))
        hop = samples // (near - 1)
        shorter = f"hop={hop} or " if hop and frames_of(samples, hop) == near else ""
        hint = f"{shorter}clips of {(near - 1) * s.hop / grid.sample_rate_hz:g} s give {near} frames"
        where = "featurise.hop"
        raise InvalidValueError("the number of frames is no multiple of 8", where=where, allowed="8, 16, 24 …", received=frames, hint=hint)
    if s.n_fft // 2 > grid.samples_per_clip:
        allowed = f"at most {2 * grid.samples_per_clip}, twice the clips' length"
        raise InvalidValueError("longer than the clips", where="featurise.n_fft", allowed=allowed, received=s.n_fft)
    front_end = MelFrontEnd(grid.sample_rate_hz, s.n_fft, s.hop, s.mels, s.power, s.f_min_hz, s.f_max_hz)
    return front_end, s.reference_power or front_end.ceiling()


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Transform the given shards' rows."""
    torch.set_num_threads(context.threads)
    settings = request.settings
    with open_grid(context.resolve(request.grid)) as grid:
        front_end, reference = _front_end(request, grid)
        trained = split_of(grid.table(), settings) == "train"
        ranges = shard_rows(grid.clips, request.shards)
        total, done = sum(len(ranges[shard]) for shard in shards), 0
        for shard in shards:
            start, stop = ranges[shard].start, ranges[shard].stop
            shape = (stop - start, 1, settings.mels, frames_of(grid.samples_per_clip, settings.hop))
            counts: dict[str, Any] = {"clipped": 0, "train_max": 0.0}
            with context.shard(shard) as folder:
                values = _create(folder / PART, shape)
                for first, sounds in grid.blocks(settings.batch_clips, start, stop):
                    power = front_end(torch.from_numpy(sounds))
                    picture, clipped = normalised(power, settings, reference)
                    values[first - start : first - start + len(sounds), 0] = picture.numpy()
                    counts["clipped"] += clipped
                    own = trained[first : first + len(sounds)]
                    counts["train_max"] = max(counts["train_max"], float(power[torch.from_numpy(own)].max()) if own.any() else 0.0)
                    done += len(sounds)
                    context.progress(done, total)
                values.flush()
                atomic.write_json(folder / COUNTS, counts)


def _create(path: Path, shape: tuple[int, ...]) -> Any:
    """Return a new array on disk: a memory map that is a ``.npy`` file; of an empty one only the header."""
    if 0 in shape:
        np.save(path, np.zeros(shape, np.float32))
        return np.zeros(shape, np.float32).view(np.memmap)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def run(request: Request, context: Context) -> Result:
    """Join the shards into one array, and write table and description."""
    settings = request.settings
    counts = [json.loads((context.shard_folder(shard) / COUNTS).read_text()) for shard in range(request.shards)]
    with open_grid(context.resolve(request.grid)) as grid:
        _, reference = _front_end(request, grid)
        table = grid.table()
        undo = numbers(settings, reference, max(count["train_max"] for count in counts))
        if undo["scale"] <= 0:
            raise InvalidValueError("no sound", where="featurise.grid", allowed="train clips with sound", received="silence")
        shape = (grid.clips, 1, settings.mels, frames_of(grid.samples_per_clip, settings.hop))
        flagged = [*([LEGACY_FLAG] if settings.normalisation == "legacy_frame_max" else []), *_duplicates(settings.legacy_split)]
        description = {
            "sample_rate_hz": grid.sample_rate_hz, "n_fft": settings.n_fft, "hop": settings.hop, "mels": settings.mels, "frames": shape[3],
            "samples": grid.samples_per_clip, "power": settings.power, "f_min_hz": settings.f_min_hz, "f_max_hz": settings.f_max_hz,
            "normalisation": settings.normalisation, **undo, "flagged": flagged, "grid_warnings": grid.warnings,
            "factors": [factor.entry() for factor in grid.factors], "grid": request.grid,
        }  # fmt: skip
    split: npt.NDArray[Any] = split_of(table, settings)
    table["split"] = pd.Series(split, dtype="str")
    _join(request, context, shape, undo["scale"] if settings.normalisation == "global_max" else 1.0)
    with atomic.replacing(context.output / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    atomic.write_json(context.output / DESCRIPTION, description)
    for text in flagged:
        context.log(f"warning: {text}")
    for shard in range(request.shards):
        (context.shard_folder(shard) / PART).unlink(missing_ok=True)  # joined: not kept twice
    sizes = {name: int((split == name).sum()) for name in ("train", "val", "test")}
    clipped = sum(int(count["clipped"]) for count in counts)
    return Result(clips=shape[0], mels=shape[2], frames=shape[3], **sizes, clipped=clipped, flagged=tuple(flagged))


def _duplicates(legacy_split: bool) -> list[str]:
    """Return what is to be said of a split by single rows."""
    return ["legacy_split deals single rows: clips that differ in amplitude only lie in train and test"] if legacy_split else []


def _join(request: Request, context: Context, shape: tuple[int, ...], divisor: float) -> None:
    """Write ``features.npy`` from the shards' arrays, divided by a number."""
    if (context.output / ARRAY).is_file():
        return  # an earlier attempt ended after this, when the parts may be gone
    with atomic.replacing(context.output / ARRAY) as temporary:
        joined = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        for shard, rows in enumerate(shard_rows(shape[0], request.shards)):
            start, stop = rows.start, rows.stop
            part = np.load(context.shard_folder(shard) / PART, mmap_mode="r" if rows else None, allow_pickle=False)
            for first in range(start, stop, COPY_ROWS):
                last = min(stop, first + COPY_ROWS)
                joined[first:last] = part[first - start : last - start] / np.float32(divisor)
                context.progress(last, shape[0], "joined clips")
        joined.flush()
