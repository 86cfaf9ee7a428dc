"""What there is to generate: one job per clip, each named and seeded by what decides its sound."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from core import derived, manifest
from core.contract import to_dict
from tasks.generate.spec import STAGE, Request, Settings


@dataclass(frozen=True)
class Job:
    """One clip to generate."""

    clip_id: str
    gold_id: str
    gold_path: str
    label: str
    caption: str
    caption_index: int
    iteration: int
    seed: int
    duration_s: float
    gold_sha256: str
    revised_from: str = ""
    """The rejected clip that this one is another try of."""


def gold_rows(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a folder's accepted rows in the order of their ids.

    Raises:
        InvalidValueError: one is not a train clip; validation and test clips must never reach a generator.
    """
    table = manifest.accepted(table)
    manifest.require_train(table, where)
    return table.sort_values("clip_id").reset_index(drop=True)


def jobs(request: Request, table: pd.DataFrame) -> list[Job]:
    """Return every clip to generate.

    In round 0 iteration ``i`` of ``num_iters`` uses caption ``i``, beginning again when the captions run out. In later rounds each listed
    caption, the revision of a rejected clip's, gives one clip.
    """
    made = []
    for row in gold_rows(table, "generate.clips").itertuples():
        parameters = json.loads(row.parameters)
        captions = parameters.get("captions") or [row.caption]
        earlier = parameters.get("revised_from") or []
        for iteration in range(len(captions) if request.round else request.settings.num_iters):
            index = iteration % len(captions)
            source = f"{row.clip_id}/{request.round}" if request.round else row.clip_id
            seed = derived.clip_seed(request.settings.seed, source, iteration)
            # The model's key is in its path, the settings decide the sound: together with the seed they name the clip.
            name = manifest.clip_id(STAGE.name, request.model, row.clip_id, captions[index], seed, keys_of(request.settings))
            job = Job(name, row.clip_id, row.path, row.label, captions[index], index, iteration, seed, float(row.duration_s), row.sha256)
            made.append(replace(job, revised_from=str(earlier[index])) if request.round and index < len(earlier) else job)
    return made


def hangs_on(request: Request, read: Callable[[str], pd.DataFrame]) -> dict[str, list[Any]]:
    """Return what decides each clip besides model and settings, by clip_id: its job, and with ``init_mix`` and ``init_pool`` the other
    clips of its class.

    Args:
        request: this request or an earlier one's.
        read: returns the manifest of an output.
    """
    clips = read(request.clips)
    company: dict[str, list[tuple[str, str]]] = {}
    others = [(read(request.gold) if request.gold else clips, "generate.gold")] if request.settings.init_mix else []
    others += [(read(request.pool), "generate.pool")] if request.pool else []
    for table, where in others:
        for row in gold_rows(table, where).itertuples():
            company.setdefault(row.label, []).append((row.clip_id, row.sha256))
    without = {"gold_path": ""}  # the sound's digest says more
    return {job.clip_id: [asdict(job) | without, company.get(job.label, [])] for job in jobs(request, clips)}


def keys_of(settings: Settings) -> str:
    """Return the settings that decide a clip's sound, as text."""
    without = {"num_iters", "seed", "batch_size"}  # how many, and what the clip's own seed holds already
    if not settings.initialize_audio:
        without |= {"init_noise_level", "init_mix", "init_roll"}
    if not settings.init_pool:
        without |= {"init_pool"}
    kept = {item.name: to_dict(getattr(settings, item.name)) for item in dataclasses.fields(settings) if item.name not in without}
    return json.dumps(kept, sort_keys=True)
