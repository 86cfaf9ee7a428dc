"""Renders the scenes shard by shard and lists them: ``index.parquet``, ``index.csv``, ``index.json``; or a manifest of mono copies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from core import atomic, derived, reuse
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.spatial.catalogue import Catalogue, open_catalogue
from tasks.spatialise import foa_scenes, mono_copies
from tasks.spatialise.foa_scenes import ROWS
from tasks.spatialise.spec import STAGE, Request, Result

INDEX, LIST, DESCRIPTION = "index.parquet", "index.csv", "index.json"


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Render the scenes, or the copies, of the given shards."""
    if request.settings.mode == "mono":
        everything = mono_copies.jobs(request, context)
        parts: dict[int, Any] = {shard: everything[shard :: request.shards] for shard in shards}

        def hangs_on(given: Request) -> dict[str, list[str]]:
            return mono_copies.hangs_on(everything if given is request else mono_copies.jobs(given, context))

        with reuse.earlier(STAGE, request, context, hangs_on) as earlier:
            _write(context, parts, partial(mono_copies.write_shard, request, context, earlier))
        return
    table = _table(request, context)[0]
    sources = list(dict.fromkeys(table["clip_path"]))
    parts = {shard: table[table["clip_path"].isin(sources[shard :: request.shards])] for shard in shards}
    _write(context, parts, partial(foa_scenes.write_shard, request, context))


def _write(context: Context, parts: Mapping[int, Any], write: Callable[[Path, Any, Callable[[int], None]], None]) -> None:
    """Let ``write`` fill the folder of each shard with its part of the scenes, or of the copies."""
    total, done = sum(map(len, parts.values())), 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        context.progress(done, total, "scenes")

    for shard, part in parts.items():
        with context.shard(shard) as folder:
            write(folder, part, report)


def _table(request: Request, context: Context) -> tuple[pd.DataFrame, Catalogue, float]:
    """Return the scenes, the catalogue, and the gigabytes that they will take.

    Raises:
        InvalidValueError: more gigabytes than allowed.
    """
    settings = request.settings
    catalogue = open_catalogue(context.resolve(request.catalogue))
    table = foa_scenes.scene_table(request, context, catalogue)
    size = foa_scenes.gigabytes(settings, catalogue.sample_rate_hz, len(table))
    if size > settings.max_gb:
        hint = "store=none lists the scenes, to be rendered on demand; feature_format=float16, form=flac and mels=64 are smaller"
        raise InvalidValueError(
            f"{len(table)} scenes would take {size:.1f} GB", where="spatialise.max_gb", allowed=f"up to {settings.max_gb:g} GB",
            received=round(size, 1), hint=hint,
        )  # fmt: skip
    return table, catalogue, size


def run(request: Request, context: Context) -> Result:
    """Put the shards together."""
    if request.settings.mode == "mono":
        return Result(**derived.combine(context, request.shards))
    table, catalogue, size = _table(request, context)
    settings = request.settings
    told = [row for shard in range(request.shards) for row in json.loads((context.shard_folder(shard) / ROWS).read_text())]
    for shard in range(request.shards):
        for kind in ("foa", "features"):
            for path in sorted((context.shard_folder(shard) / kind).glob("*")):
                atomic.link(path, context.output / kind / path.name)
    index = table.merge(pd.DataFrame(told), on="scene_id", how="left", validate="one_to_one")
    for name, kind in (("foa", "foa"), ("feat", "features")):
        column = index.pop(f"{name}_file") if f"{name}_file" in index else pd.Series([None] * len(index))
        index[f"{name}_path"] = [
            context.published(context.output / kind / file) if isinstance(file, str) else "" for file in column
        ]  # fmt: skip
    rejected = int((index["status"] == "rejected").sum())
    _check(index, rejected, request)
    with atomic.replacing(context.output / INDEX) as temporary:
        index.to_parquet(temporary, index=False)
    atomic.write_text(context.output / LIST, index.to_csv(index=False))
    atomic.write_json(context.output / DESCRIPTION, {
        "settings": to_dict(settings), "catalogue": request.catalogue, "clips": request.clips, "scenes": len(index), "rejected": rejected,
        "order": "ACN", "normalisation": "SN3D", "azimuth_sign": catalogue.meta["azimuth_sign"], "sample_rate_hz": catalogue.sample_rate_hz,
        "gigabytes": size, "statistics": catalogue.meta.get("statistics", {}),
    })  # fmt: skip
    loud = int((index["peak"] > 1.0).sum()) if "peak" in index else 0
    return Result(len(index), rejected, round((len(index) - rejected) * settings.duration_s, 6), round(size, 6), loud)


def _check(index: pd.DataFrame, rejected: int, request: Request) -> None:
    """Refuse an index of which too much is missing; what is rejected stays in it in any case."""
    if rejected > request.settings.max_reject_fraction * len(index):
        first = index[index["status"] == "rejected"].iloc[0]
        raise InvalidValueError(
            f"{rejected} of {len(index)} scenes cannot be used", where=request.clips,
            allowed=f"at most {request.settings.max_reject_fraction:.0%}", received=rejected,
            hint=f"the first one: {first['clip_path']}: {first['reason']}",
        )  # fmt: skip
