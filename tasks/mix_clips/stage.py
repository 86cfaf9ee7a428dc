"""Reads the manifests, cuts the sources to their shares, refuses leaks, writes one manifest; the audio stays where it is."""

from __future__ import annotations

import hashlib

import pandas as pd

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.mix_clips.spec import Request, Result

LEAK = "train clips that are or descend from validation or test clips"
LEAK_HINT = "make the sources from the train clips of the same dataset"


def run(request: Request, context: Context) -> Result:
    """Mix.

    Raises:
        InvalidValueError: a source without train clips; a train clip that is, or descends from, a held-out clip.
    """
    held_out = kept_out(request, context)
    tables, seen, twice, same_bytes = {}, set(), 0, 0
    known = set(held_out["sha256"]) - {""}
    for source in request.sources:
        read = pd.concat([manifest.read(context.resolve(folder)) for folder in source.folders], ignore_index=True)
        table = manifest.accepted(read)
        table = table[table["split"] == "train"].drop_duplicates("clip_id")
        manifest.refuse_leaks(table, set(held_out["clip_id"]), LEAK, "mix_clips.sources", LEAK_HINT)
        copies = table["sha256"].isin(known)
        fresh = table[~table["clip_id"].isin(seen) & ~copies]
        same_bytes += int(copies.sum())
        twice += len(table) - len(fresh) - int(copies.sum())
        seen |= set(fresh["clip_id"])
        if not len(fresh):
            counts = read.groupby(["status", "split"]).size().to_dict()
            hint = "its clips were rejected, are held out, have the bytes of such clips, or belong to a source before it"
            raise InvalidValueError(
                "no train clips", where=f"mix_clips.{source.name}", allowed="at least one", received=str(counts), hint=hint
            )  # fmt: skip
        tables[source.name] = fresh
    weights = {source.name: source.weight for source in request.sources}
    wanted = sizes({name: len(table) for name, table in tables.items()}, weights, request.max_clips)
    kept = {name: table[table["clip_id"].isin(first(list(table["clip_id"]), wanted[name], request.seed))] for name, table in tables.items()}
    mixed = pd.concat(kept.values(), ignore_index=True)
    beside = held_out if request.held_out else held_out.iloc[:0]
    whole = pd.concat([mixed, beside], ignore_index=True) if len(beside) else mixed
    manifest.write(context.output, whole.sort_values("clip_id"))
    return Result(
        clips=len(mixed), of_source={name: len(table) for name, table in kept.items()}, twice=twice, held_out=len(beside),
        same_bytes=same_bytes,
        left_out={name: len(tables[name]) - len(table) for name, table in kept.items()},
        seconds=round(float(mixed["duration_s"].sum()), 3),
    )  # fmt: skip


def kept_out(request: Request, context: Context) -> pd.DataFrame:
    """Return the validation and test clips that keep out; none where no dataset is named."""
    if not request.evaluation:
        return manifest.frame([])
    table = manifest.accepted(manifest.read(context.resolve(request.evaluation)))
    return table[table["split"].isin(("val", "test"))]


def sizes(counts: dict[str, int], weights: dict[str, float], most: int) -> dict[str, int]:
    """Return how many clips each source gives: as many as can be with these shares, at least one.

    Args:
        counts: clips of each source.
        weights: of each source; all 0: as many as it has.
        most: clips of the mixture; 0: no limit.
    """
    shares = {name: weights[name] or float(counts[name]) for name in counts}
    scale = min(counts[name] / share for name, share in shares.items())
    if most:
        scale = min(scale, most / sum(shares.values()))
    return {name: max(1, int(scale * share + 1e-9)) for name, share in shares.items()}


def first(clips: list[str], count: int, seed: int) -> set[str]:
    """Return so many clips, drawn by the hash of seed and clip: a smaller draw is part of a larger one."""
    order = sorted(clips, key=lambda clip: hashlib.sha256(f"{seed}/{clip}".encode()).hexdigest())
    return set(order[:count])
