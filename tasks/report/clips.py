"""Clips to look at and listen to: copied and drawn into the page's assets."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from core import audio, manifest
from core.context import Context
from core.gallery import pictures
from tasks.report.spec import Request


def first_draws(request: Request) -> dict[int, int]:
    """Return each size's first draw, the one that clips are shown of."""
    found: dict[int, int] = {}
    for run in (*request.gold, *request.synthetic):
        found.setdefault(run.num_samples, run.draw)
    return found


def shown(request: Request, context: Context) -> tuple[list[dict[str, str]], int]:
    """Return the clips to show, every size, class and kind in turn, and how many are not shown."""
    draws, tables = first_draws(request), []
    for run in request.gold:
        if draws[run.num_samples] == run.draw:
            table = manifest.read(context.resolve(run.path))
            tables.append(table.assign(kind="gold", source="", size=run.num_samples, round=0))
    for run in request.synthetic:
        if draws[run.num_samples] == run.draw:
            for number, folder in enumerate(run.filtered):
                table = manifest.read(context.resolve(folder))
                tables.append(table.assign(kind=table["status"], source=spoken(run.source), size=run.num_samples, round=number))
    # A larger draw holds the smaller one's clips, and equal work is one folder: a clip is shown once.
    everything = pd.concat(tables, ignore_index=True).drop_duplicates(["clip_id", "source"])
    everything = everything[~everything["path"].str.startswith("rejected/")]
    group = ["size", "label", "kind", "source"]
    turn = everything.groupby(group).cumcount()
    picked = everything.assign(turn=turn).sort_values(["turn", *group]).head(request.settings.max_clips)
    rank = {"gold": 0, "accepted": 1, "rejected": 2}
    picked = picked.assign(rank=picked["kind"].map(rank)).sort_values(["size", "label", "rank", "source", "turn"])
    made = []
    for number, row in enumerate(picked.to_dict("records"), start=1):
        made.append(_card(row, context))
        context.progress(number, len(picked))
    return made, len(everything) - len(picked)


def spoken(name: str) -> str:
    """Return a source's name as it is said."""
    return name.replace("_", " ")


def player(clip_id: str, path: str, context: Context) -> dict[str, str]:
    """Copy a clip as WAV and draw it, unless it is there already; returns the addresses of both, relative to the page."""
    source = context.resolve(path)
    # WAV, since libsndfile writes FLAC without a seek table and chromium's player is dead after a jump near the end of such a file.
    target = context.output / "assets" / f"{clip_id}.wav"
    target.parent.mkdir(exist_ok=True)
    picture = target.with_suffix(".png")
    if not picture.exists():
        audio.write(target, *audio.read(source), "PCM_16")
        pictures.write_spectrogram(picture, source)
    return {"audio": f"assets/{target.name}", "picture": f"assets/{picture.name}"}


def _card(row: dict[str, Any], context: Context) -> dict[str, str]:
    parameters, found = json.loads(row["parameters"]), json.loads(row["scores"])
    parts = [f"{name.removeprefix('clap_')} {value:g}" for name, value in found.items()]
    parts += [f"seed {parameters['seed']}"] if "seed" in parameters else []
    parts += [f"round {row['round'] + 1}"] if row["round"] else []
    parts += [row["reason"]] if row["reason"] else []
    return {
        "label": row["label"], "kind": row["kind"], "source": row["source"], "caption": row["caption"], "detail": " · ".join(parts),
        "size": str(row["size"]), **player(row["clip_id"], row["path"], context),
    }  # fmt: skip
