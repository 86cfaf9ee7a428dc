"""Sounds for the page: nearest presets of sounds, and matched sounds; copied beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.context import Context
from tasks.report_presets.scores import SETS
from tasks.report_presets.spec import Match


def lookups(folder: Path, context: Context) -> list[dict[str, Any]]:
    """Copy what play_presets wrote; return each sound that can be heard with the nearest presets that can be."""
    found = []
    for one in json.loads((folder / "sounds.json").read_text(encoding="utf-8"))["lookups"]:
        if not one["sound"]:
            continue
        rank = one["rank_of_own_preset"]
        kind = f"{SETS[one['set']]} preset" if one["set"] else "your file"
        about = f"{kind}, its own preset at rank {rank:g}" if rank is not None else kind
        nearest = [
            {"name": entry["name"], "distance": f"{entry['distance']:.3g}", "file": _copied(folder, entry["sound"], "lookups", context),
             "own": entry["set"] == one["set"] and entry["row"] == one["row"]}
            for entry in one["nearest"] if entry["sound"]
        ]  # fmt: skip
        found.append({"name": one["name"], "about": about, "file": _copied(folder, one["sound"], "lookups", context), "nearest": nearest})
    return found


def matches(studies: Sequence[Match], most: int, context: Context) -> list[tuple[str, list[dict[str, Any]]]]:
    """Copy matched sounds; return, by study, the pairs of a sound and its match."""
    found = []
    for number, study in enumerate(studies):
        folder = context.resolve(study.scores)
        counts: dict[str, int] = {}
        pairs = []
        for one in json.loads((folder / "listen.json").read_text(encoding="utf-8")):
            counts[one["source"]] = counts.get(one["source"], 0) + 1
            if counts[one["source"]] <= most:
                files = {name: _copied(folder, one[name], f"matches_{number}", context) for name in ("target", "match")}
                score = one.get("a_mean")
                told = "" if score is None else f", distance {score:.3f}"
                pairs.append({"name": one["name"], "about": f"{one['source'].replace('_', ' ')}{told}", **files})
        found.append((study.name, pairs))
    return found


def _copied(folder: Path, name: str, under: str, context: Context) -> str:
    target = context.output / under / Path(name).name
    target.parent.mkdir(exist_ok=True)
    if not target.exists():
        shutil.copyfile(folder / name, target)
    return f"{under}/{target.name}"
