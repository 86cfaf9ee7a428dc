"""Renders the clips shard by shard; then writes the table, the description, the card, and the ``.npz`` if one is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core import atomic
from core.context import SHARD_DONE, Context
from core.contract import to_dict
from core.rows import shard_rows
from tasks.grid.reading import DESCRIPTION, TABLE, Factor, open_grid
from tasks.synthesize_grid import npz
from tasks.synthesize_grid.advice import ambiguous_share, warnings, without_overtone
from tasks.synthesize_grid.card import card
from tasks.synthesize_grid.cells import Cells, Renderer, factors_of, named
from tasks.synthesize_grid.shards import NAMES, block_rows, blocks, open_shard
from tasks.synthesize_grid.spec import Request, Result

COUNTS = "counts.json"
FOLDER = "clips"
"""Where the finished grid keeps its sounds."""
SILENT = 1e-9
"""A clip whose peak stays below this is silent."""


class _Clips:
    """Where the clips come from: a renderer, or a published file."""

    def __init__(self, request: Request, context: Context) -> None:
        self.source = npz.Source(context.locate(request.source)) if request.source else None
        self.renderer = None if self.source else Renderer(request.settings)
        self.factors: list[Factor] = self.source.factors if self.source else factors_of(request.settings)
        self.clips = self.source.clips if self.source else Cells(self.factors).clips
        self.samples = self.source.samples if self.source else request.settings.samples

    def columns(self, start: int, stop: int) -> npz.Columns:
        """Return the factors of some rows."""
        if self.source:
            return {name: column[start:stop] for name, column in self.source.columns.items()}
        return Cells(self.factors).columns(start, stop)

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield the sounds of some rows, a block at a time."""
        if self.source:
            yield from self.source.blocks(start, stop, block_rows(self.samples))
        else:
            assert self.renderer is not None
            for first, last in blocks(start, stop, self.samples):
                yield first, self.renderer.block(first, last)


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Render, or take over, the given shards' rows, and write them as a stream."""
    clips, settings = _Clips(request, context), request.settings
    ranges = shard_rows(clips.clips, request.shards)
    total, done = sum(len(ranges[shard]) for shard in shards), 0
    for shard in sorted(shards):
        start, stop = ranges[shard].start, ranges[shard].stop
        silent = 0
        with context.shard(shard) as folder:
            if stop > start:
                with open_shard(settings.form, folder, clips.samples, settings.sample_rate_hz) as writer:
                    for first, sounds in clips.blocks(start, stop):
                        rows = named(clips.factors, clips.columns(first, first + len(sounds)))
                        rows.insert(0, "index", np.arange(first, first + len(sounds)))
                        writer.write(rows, sounds)
                        silent += int(np.sum(np.maximum(sounds.max(axis=1), -sounds.min(axis=1)) < SILENT))
                        done += len(sounds)
                        context.progress(done, total)
            size = sum(item.stat().st_size for item in folder.iterdir())
            atomic.write_json(folder / COUNTS, {"silent": silent, "bytes": size})


def run(request: Request, context: Context) -> Result:
    """Write what belongs to the grid as a whole."""
    clips, settings = _Clips(request, context), request.settings
    counts = [json.loads((context.shard_folder(shard) / COUNTS).read_text()) for shard in range(request.shards)]
    silent = sum(int(count["silent"]) for count in counts)
    columns = clips.columns(0, clips.clips)
    table = pd.DataFrame({"index": np.arange(clips.clips), **columns})
    with atomic.replacing(context.output / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    description = _description(request, clips, silent)
    _keep(request, context)
    atomic.write_json(context.output / DESCRIPTION, description)
    atomic.write_text(context.output / "README.md", card(description, clips.factors, request.source))
    for text in description["warnings"]:
        context.log(f"warning: {text}")
    if settings.npz != "none":
        _write_npz(request, clips, columns, context)
    return Result(
        clips=clips.clips, samples=clips.samples, seconds=clips.clips * clips.samples / settings.sample_rate_hz, silent=silent,
        megabytes=round(sum(int(count["bytes"]) for count in counts) / 1e6, 1),
        ambiguous_timbre=description["timbre"]["ambiguous"], warnings=tuple(description["warnings"]),
    )  # fmt: skip


def _keep(request: Request, context: Context) -> None:
    """Give the shards' files lasting names; the engine throws the shards' own folders away once this stage is done.

    Linked, not moved: should this attempt be cut off, the next one finds the shards whole.
    """
    for shard in range(request.shards):
        for source in context.shard_folder(shard).iterdir():
            if source.name not in (COUNTS, SHARD_DONE):
                atomic.link(source, context.output / FOLDER / f"{shard:04d}" / source.name)


def _description(request: Request, clips: _Clips, silent: int) -> dict[str, Any]:
    """Return what ``grid.json`` says."""
    settings, rate_hz, factors = request.settings, request.settings.sample_rate_hz, clips.factors
    ranges = [(shard, rows) for shard, rows in enumerate(shard_rows(clips.clips, request.shards)) if rows]
    oscillator = "published file" if clips.source else settings.oscillator
    legacy = settings.legacy_time_axis and not clips.source
    return {
        "sample_rate_hz": rate_hz, "duration_s": clips.samples / rate_hz, "samples": clips.samples, "clips": clips.clips,
        "shards": [f"{FOLDER}/{shard:04d}/{NAMES[settings.form]}" for shard, _ in ranges],
        "shard_rows": [[rows.start, rows.stop] for _, rows in ranges],
        "form": settings.form, "factors": [factor.entry() for factor in factors], "oscillator": oscillator, "legacy_time_axis": legacy,
        "seed": settings.seed, "silent": silent,
        "timbre": {"ambiguous": ambiguous_share(factors, rate_hz), "without_overtone": without_overtone(factors, rate_hz)},
        "warnings": warnings(factors, rate_hz, oscillator, legacy, silent, clips.clips),
        "settings": None if clips.source else to_dict(settings),
    }  # fmt: skip


def _write_npz(request: Request, clips: _Clips, columns: npz.Columns, context: Context) -> None:
    """Write ``dataset.npz``; the published layout in double precision, where the clips are computed here."""
    kind = np.float64 if request.settings.npz == "upstream" else np.float32

    def sounds() -> Iterator[npt.NDArray[Any]]:
        if clips.renderer is not None:
            for first, last in blocks(0, clips.clips, clips.samples):
                yield clips.renderer.block(first, last, kind)
        else:
            with open_grid(context.output) as grid:
                for _, block in grid.blocks(block_rows(clips.samples)):
                    yield block

    path: Path = context.output / npz.FILE
    shape = (clips.clips, clips.samples)
    npz.write(
        path, request.settings.npz, shape, sounds(), clips.factors, columns, lambda done: context.progress(done, clips.clips, "npz clips")
    )
