"""Hears kept sounds attribute by attribute; then writes the files of rank_audio_models again, with CLAP in them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from core import atomic
from core.context import Context
from core.errors import InvalidValueError
from core.rows import shard_rows
from tasks.clap_model.audio_model import open_clap
from tasks.matmul import use_fast_float32
from tasks.rank_audio_models import kept_sounds, ranking
from tasks.rank_audio_models.listening import ModelEar, heard
from tasks.rank_clap.spec import Request, Result

SCORES = "scores.json"


def study_of(request: Request, context: Context) -> dict[str, Any]:
    """Return what the study's ``ranking.json`` says.

    Raises:
        InvalidValueError: its sounds were not kept, or CLAP's title is taken.
    """
    path = context.resolve(request.ranking) / ranking.RANKING
    study: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if not study["sounds"]:
        hint = "run it with rank_audio_models.keep_sounds=true"
        raise InvalidValueError(
            "its sounds were not kept", where="rank_clap.ranking", allowed="a study with sounds", received="none", hint=hint
        )
    titles = sorted({row["model"] for row in study["rows"]})
    if request.settings.title in titles:
        raise InvalidValueError(
            "another model is called so", where="rank_clap.title", allowed=f"none of {titles}", received=request.settings.title
        )
    return study


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the model once, then hear each shard's attributes."""
    torch.set_num_threads(context.threads)
    use_fast_float32(context.device)
    settings, study = request.settings, study_of(request, context)
    names, rate_hz = sorted(study["sounds"]), study["rendered_at_hz"]
    model = open_clap(context.locate(request.checkpoint), settings.audio_model, settings.text_model, context.device, settings.reduction)
    ear = ModelEar(settings.title, model, context.device)
    ranges = shard_rows(len(names), request.shards)
    total, done = sum(len(ranges[shard]) for shard in shards) * study["settings"]["presets"], 0
    for shard in shards:
        rows: list[dict[str, Any]] = []
        sounds = 0
        with context.shard(shard) as folder:
            for name in [names[place] for place in ranges[shard]]:
                kept = kept_sounds.opened(context.resolve(request.ranking), study["sounds"][name])
                for preset, given in enumerate(kept):
                    rows += heard([ear], np.array(given), rate_hz, name, preset)
                    sounds += len(given)
                    done += 1
                    context.progress(done, total, "presets")
            atomic.write_json(folder / SCORES, {"rows": rows, "sounds": sounds, "ear": [ear.identity, ear.dimensions]})


def run(request: Request, context: Context) -> Result:
    """Rank everyone together."""
    study = study_of(request, context)
    told = [json.loads((context.shard_folder(shard) / SCORES).read_text()) for shard in range(request.shards)]
    others = json.loads((context.resolve(request.ranking) / f"{ranking.CORRELATIONS}.json").read_text(encoding="utf-8"))
    ears = {row["model"]: [row["identity"], row["dimensions"]] for row in study.pop("rows")}
    rows = [*others, *(row for one in told for row in one["rows"])]
    # The sounds stay with the study: what is written here is the table.
    title = request.settings.title
    ranked = ranking.write(context.output, rows, {**ears, title: told[0]["ear"]}, {**study, "sounds": {}})
    place = next(number for number, row in enumerate(ranked, start=1) if row["model"] == title)
    return Result(
        models=len(ears) + 1, sounds=sum(one["sounds"] for one in told), place=place, correlation=ranked[place - 1]["correlation"],
        best=ranked[0]["model"], table=ranking.table_of(ranked),
    )  # fmt: skip
