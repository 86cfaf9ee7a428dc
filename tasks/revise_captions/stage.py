"""Writes the gold rows that have rejected clips again, with one revised caption for each of these clips."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pandas as pd

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.language_model.prompts import Heard, Subject, ordered
from tasks.language_model.text import clean, foreign_labels, labels_of
from tasks.language_model.writer import for_all, make
from tasks.revise_captions.spec import STAGE, Request, Result, Settings

Parameters = dict[str, dict[str, Any]]
"""The gold clips' parameters by clip_id."""


def run(request: Request, context: Context) -> Result:
    """Revise the captions of the last round's rejected clips.

    Raises:
        InvalidValueError: a clip is no train clip or has no gold clip, or the language model's server fails.
    """
    settings = request.settings
    gold = manifest.accepted(manifest.read(context.resolve(request.clips)))
    tables = [manifest.read(context.resolve(folder)) for folder in request.rounds]
    for folder, table in zip((request.clips, *request.rounds), (gold, *tables), strict=True):
        _check(table, folder, None if table is gold else set(gold["clip_id"]))
    accepted = pd.concat([manifest.accepted(table) for table in tables], ignore_index=True)
    rejected = tables[-1][tables[-1]["status"] == "rejected"].sort_values("clip_id").reset_index(drop=True)
    if not len(rejected):
        manifest.write(context.output, manifest.frame([]))
        return Result(clips=0, rejected=0, revised=0, unchanged=0, accepted=len(accepted))
    parameters = {str(row.clip_id): json.loads(str(row.parameters)) for row in gold.itertuples()}
    subjects, heard = _subjects(gold, parameters, settings), _heard(parameters, accepted)
    writer = make(settings, STAGE.name, context)
    jobs = []
    for row in rejected.itertuples():
        known = heard.get(str(row.label), Heard())
        subject = subjects[str(row.parents[0])]
        # An empty text keeps the old caption, whether the writer says so or no answer of it can be used.
        jobs.append((str(row.clip_id), partial(writer.rewrite, subject, str(row.caption), known, str(row.clip_id)), lambda: ""))
    new, reasons = for_all(writer, jobs, settings, STAGE.name, context, "captions revised")
    manifest.write(context.output, _table(gold, parameters, rejected, new, request.round, writer.name))
    revised = sum(bool(text) for text in new.values())
    return Result(
        clips=len({row.parents[0] for row in rejected.itertuples()}), rejected=len(rejected), revised=revised,
        unchanged=len(rejected) - revised, accepted=len(accepted), fallbacks=len(reasons),
        **writer.counts.told(settings),
    )  # fmt: skip


def _check(table: pd.DataFrame, folder: str, gold: set[str] | None) -> None:
    """Refuse clips that are not train clips, and generated clips that come from other clips than this run's gold ones.

    The first parent is the clip whose caption was used; ``init_mix`` adds a second one, which lent a stretch of its sound, and
    ``init_pool`` one that is no gold clip, which the sound started from.
    """
    manifest.require_train(table, folder)
    if gold is not None:
        orphans = [row.clip_id for row in table.itertuples() if not set(_gold_parents(row)) <= gold or not len(row.parents)]
        if orphans:
            raise InvalidValueError("clips of other gold clips", where=folder, allowed="parents among the gold clips", received=orphans[:5])


def _gold_parents(row: Any) -> list[str]:
    """Return the parents of a row that must be gold clips."""
    return list(row.parents)[: 1 if json.loads(str(row.parameters)).get("start") == "pool" else None]


def _subjects(gold: pd.DataFrame, parameters: Parameters, settings: Settings) -> dict[str, Subject]:
    """Return what is known of every gold clip; the components are those that ``caption`` wrote."""
    several = {clip for clip, own in parameters.items() if own.get("caption_mode") == "multi_label"}
    labels = {
        str(row.clip_id): labels_of(str(row.label), settings.label_separator if row.clip_id in several else "") for row in gold.itertuples()
    }
    every = sorted({label for own in labels.values() for label in own})
    return {
        clip: Subject(
            clip, own, foreign_labels(every, own), described=str(parameters[clip].get("described", "")),
            events=tuple(parameters[clip].get("events", ())), scenes=tuple(parameters[clip].get("scenes", ())),
        )
        for clip, own in labels.items()
    }  # fmt: skip


def _heard(parameters: Parameters, accepted: pd.DataFrame) -> dict[str, Heard]:
    """Return by label what the accepted clips hold: the components of their gold clips, and their own captions."""
    found: dict[str, Heard] = {}
    for label, rows in accepted.sort_values("clip_id").groupby("label"):
        parents = sorted({str(row.parents[0]) for row in rows.itertuples()})
        events, scenes = (
            ordered([clean(str(phrase)) for parent in parents for phrase in parameters[parent].get(kind, ())])
            for kind in ("events", "scenes")
        )  # fmt: skip
        found[str(label)] = Heard(events, scenes, ordered([clean(str(caption)) for caption in rows["caption"]]))
    return found


def _table(
    gold: pd.DataFrame, parameters: Parameters, rejected: pd.DataFrame, new: dict[str, str], number: int, writer: str
) -> pd.DataFrame:
    """Return the gold rows with rejected clips; their captions are those of the rejected clips, in order of clip_id."""
    own: dict[str, list[tuple[str, str]]] = {}
    for row in rejected.itertuples():
        own.setdefault(str(row.parents[0]), []).append((str(row.clip_id), new[str(row.clip_id)] or str(row.caption)))
    table = gold[gold["clip_id"].isin(list(own))].reset_index(drop=True)
    changed = []
    for clip in map(str, table["clip_id"]):
        clips, captions = zip(*own[clip], strict=True)
        changed.append(parameters[clip] | {"captions": captions, "revised_from": clips, "round": number, "revised_by": writer})
    table["caption"] = [part["captions"][0] for part in changed]
    table["parameters"] = [json.dumps(part, sort_keys=True, ensure_ascii=False) for part in changed]
    return table
