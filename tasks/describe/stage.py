"""Describes shard by shard and writes the gold manifest again with the words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from core import atomic, audio, manifest, reuse
from core.context import Context
from core.errors import InvalidValueError
from tasks.describe import command
from tasks.describe.spec import STAGE, Request, Result, Settings

ANSWERS = "captions.json"


def clips(request: Request, context: Context) -> pd.DataFrame:
    """Return the clips to describe, in order of their ids.

    Raises:
        InvalidValueError: a clip is no train clip.
    """
    table = manifest.accepted(manifest.read(context.resolve(request.clips)))
    manifest.require_train(table, request.clips)
    return table.sort_values("clip_id").reset_index(drop=True)


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the captioner once, for the first clip that no earlier output has words for, then describe the given shards."""
    torch.set_num_threads(context.threads)
    table = clips(request, context)
    total, done = sum(len(table.iloc[shard :: request.shards]) for shard in shards), 0
    captioner: Any = None

    def hangs_on(given: Request) -> dict[str, str]:
        return {str(row.clip_id): str(row.sha256) for row in clips(given, context).itertuples()}

    def report(more: int = 0) -> None:
        nonlocal done
        done += more
        context.progress(done, total)

    with reuse.earlier(STAGE, request, context, hangs_on) as earlier:
        for shard in shards:
            own = [(str(row.clip_id), context.resolve(str(row.path))) for row in table.iloc[shard :: request.shards].itertuples()]
            with context.shard(shard) as folder:
                known = {clip: json.loads(row["parameters"])["described"] for clip, _ in own if (row := earlier.row(clip))}
                report(len(known))
                missing = [item for item in own if item[0] not in known]
                if missing and captioner is None and request.settings.captioner == "transformers":
                    from tasks.describe.model import load  # a captioner that is a program needs no transformers

                    captioner = load(request.settings, context.device)
                atomic.write_json(folder / ANSWERS, known | _described(missing, request.settings, captioner, report))


def _described(own: list[tuple[str, Path]], settings: Settings, captioner: Any, report: Callable[..., None]) -> dict[str, str]:
    """Return the captioner's words by clip.

    Raises:
        InvalidValueError: it has none for a clip.
    """
    found: dict[str, str] = {}
    for start in range(0, len(own), settings.batch_size):
        batch = own[start : start + settings.batch_size]
        if captioner is None:
            found |= command.describe(batch, settings, report)
        else:
            sounds = [audio.load_mono(path, captioner.rate_hz) for _, path in batch]
            found |= dict(zip((clip for clip, _ in batch), captioner.describe(sounds), strict=True))
        report(len(batch))
    empty = [clip for clip, text in found.items() if not any(sign.isalpha() for sign in text)]
    if empty:
        raise InvalidValueError(
            "the captioner said nothing", where="describe", allowed="words for every clip", received=empty[:5],
            hint="try another describe.prompt",
        )  # fmt: skip
    return {clip: " ".join(text.split()[: settings.max_words]) for clip, text in found.items()}


def run(request: Request, context: Context) -> Result:
    """Combine the shards: ``caption`` and ``parameters.described`` hold the captioner's words."""
    table = clips(request, context)
    found: dict[str, str] = {}
    for shard in range(request.shards):
        found |= json.loads((context.shard_folder(shard) / ANSWERS).read_text(encoding="utf-8"))
    s = request.settings
    captioner = s.command[0].rsplit("/", 1)[-1] if s.captioner == "command" else s.hub_name or s.pretrained.rstrip("/").rsplit("/", 1)[-1]
    table["caption"] = [found[clip] for clip in table["clip_id"]]
    table["parameters"] = [
        json.dumps(json.loads(text) | {"described": found[clip], "captioner": captioner}, sort_keys=True, ensure_ascii=False)
        for clip, text in zip(table["clip_id"], table["parameters"], strict=True)
    ]
    manifest.write(context.output, table)
    words = [len(text.split()) for text in found.values()]
    return Result(clips=len(table), distinct=len(set(found.values())), mean_words=round(sum(words) / len(words), 2) if words else 0.0)
