"""Describes shard by shard and writes the gold manifest again with the words."""

from __future__ import annotations

import json

import pandas as pd
import torch

from core import atomic, audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.describe import command
from tasks.describe.spec import Request, Result

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
    """Load the captioner once, then describe the given shards."""
    torch.set_num_threads(context.threads)
    settings, table = request.settings, clips(request, context)
    captioner = None
    if settings.captioner == "transformers" and len(table):
        from tasks.describe.model import load  # a captioner that is a program needs no transformers

        captioner = load(settings, context.device)
    total, done = sum(len(table.iloc[shard :: request.shards]) for shard in shards), 0
    for shard in shards:
        own = [(str(row.clip_id), context.resolve(str(row.path))) for row in table.iloc[shard :: request.shards].itertuples()]
        with context.shard(shard) as folder:
            found: dict[str, str] = {}
            for start in range(0, len(own), settings.batch_size):
                batch = own[start : start + settings.batch_size]
                if captioner is None:
                    found |= command.describe(batch, settings, lambda done=done: context.progress(done, total))  # type: ignore[misc]
                else:
                    sounds = [audio.load_mono(path, captioner.rate_hz) for _, path in batch]
                    found |= dict(zip((clip for clip, _ in batch), captioner.describe(sounds), strict=True))
                done += len(batch)
                context.progress(done, total)
            empty = [clip for clip, text in found.items() if not any(sign.isalpha() for sign in text)]
            if empty:
                raise InvalidValueError(
                    "the captioner said nothing", where="describe", allowed="words for every clip", received=empty[:5],
                    hint="try another describe.prompt",
                )  # fmt: skip
            words = {clip: " ".join(text.split()[: settings.max_words]) for clip, text in found.items()}
            atomic.write_json(folder / ANSWERS, words)


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
