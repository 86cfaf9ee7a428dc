"""Writes ``sounds/*.flac`` and ``sounds.json``: what stands nearest to which sound, with the file of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core import atomic, audio
from core.context import Context
from tasks.play_presets.spec import Request, Result
from tasks.presets.reading import PresetSet, open_presets
from tasks.sound_matching.rerendering import circumstances, open_studio

SOUNDS = "sounds"
PEAK = 0.9
"""Sounds beyond it are made softer, the others are left as loud as they are."""
SETS = ("sampled", "hand_crafted")


def run(request: Request, context: Context) -> Result:
    """Play every preset that is listed, each once."""
    listed = json.loads((context.resolve(request.evaluation) / "nearest.json").read_text(encoding="utf-8"))
    told = chosen(listed, request)
    sets = {name: open_presets(context.resolve(getattr(request, name))) for name in SETS if getattr(request, name)}
    wanted = {name: sorted(rows) for name, rows in rows_of(told).items()}
    total, done, failed = sum(map(len, wanted.values())), 0, {}
    files: dict[tuple[str, int], str] = {}
    first = sets["sampled"]
    plugin = str(context.locate(request.plugin)) if request.plugin else request.uri
    with open_studio(first.spec, circumstances(first.meta), plugin, request.workers) as studio:
        for name, rows in wanted.items():
            notes = [studio.note(*(int(sets[name].table[what].iloc[row]) for what in ("note", "velocity"))) for row in rows]
            for row, (sound, reason) in zip(rows, studio.render(presets_of(sets[name], rows), notes), strict=True):
                done += 1
                if sound is None:
                    failed[f"{name} {row}"] = reason
                else:
                    files[name, row] = write(context, f"{name}_{row:06d}", sound, int(first.meta["sample_rate_hz"]))
                context.progress(done, total, "presets")
    for one in told:
        for entry in (one, *one["nearest"]):
            entry["sound"] = files.get((entry["set"], entry["row"]), "") if entry["set"] else copied(request, entry, first, context)
    atomic.write_json(context.output / "sounds.json", {"lookups": told, "failed": failed})
    return Result(presets=len(files), failed=len(failed), files=sum(not one["set"] for one in told))


def chosen(listed: dict[str, Any], request: Request) -> list[dict[str, Any]]:
    """Return what is played: each sound with its nearest presets, all with ``set`` (empty for a file), ``row`` and ``name``.

    Args:
        listed: ``nearest.json`` of the evaluation.
        request: how many.
    """
    settings, found = request.settings, []
    there = [name for name in SETS if getattr(request, name)]
    for name in there:
        for one in listed.get(name, [])[: settings.sounds]:
            nearest = [{**item, "set": name} for item in one["nearest"][: settings.nearest]]
            found.append({
                "set": name, "row": one["row"], "name": one["sound_of"], "rank_of_own_preset": one["rank_of_own_preset"],
                "nearest": nearest,
            })  # fmt: skip
    for one in listed.get("sounds", [])[: settings.sounds] if request.sounds else []:
        merged = [{**item, "set": name} for name in there for item in one["nearest"].get(name, [])]
        nearest = sorted(merged, key=lambda item: item["distance"])[: settings.nearest]
        found.append({"set": "", "row": -1, "name": one["file"], "rank_of_own_preset": None, "nearest": nearest})
    return found


def rows_of(told: list[dict[str, Any]]) -> dict[str, set[int]]:
    """Return the rows to play by set."""
    found: dict[str, set[int]] = {}
    for one in told:
        for entry in (one, *one["nearest"]):
            if entry["set"]:
                found.setdefault(entry["set"], set()).add(int(entry["row"]))
    return found


def presets_of(presets: PresetSet, rows: list[int]) -> npt.NDArray[np.float32]:
    """Return some presets of a set [rows, used]."""
    return np.asarray(presets.parameters[rows], dtype=np.float32)


def write(context: Context, name: str, sound: audio.Samples, rate_hz: int) -> str:
    """Write a sound and return its file, relative to the output."""
    peak = float(np.abs(sound).max())
    path = context.output / SOUNDS / f"{name}.flac"
    audio.write(path, sound * np.float32(PEAK / peak) if peak > PEAK else sound, rate_hz, "PCM_16")
    return f"{SOUNDS}/{path.name}"


def copied(request: Request, entry: dict[str, Any], presets: PresetSet, context: Context) -> str:
    """Write a file that was looked up, as the audio model heard it; its number is its place among the files."""
    rate_hz = int(presets.meta["sample_rate_hz"])
    given = Path(request.sounds)
    sound = audio.load_mono(given if given.is_file() else given / entry["name"], rate_hz)
    number = len(list((context.output / SOUNDS).glob("file_*.flac")))
    return write(context, f"file_{number:03d}", audio.fit_length(sound, round(presets.meta["duration_s"] * rate_hz)), rate_hz)
