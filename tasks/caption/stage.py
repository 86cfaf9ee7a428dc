"""Writes the gold manifest again, with captions and the components they were made of in ``parameters``."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.caption import components, descriptors
from tasks.caption.spec import Request, Result, Settings
from tasks.language_model import grammar
from tasks.language_model.prompts import Subject
from tasks.language_model.text import clean, foreign_labels, labels_of, template
from tasks.language_model.writer import Writer, for_all, make

LISTENED = ("mixcap", "plain")
"""Modes that need to know how a clip sounds; the others go by its label."""
Parameters = dict[str, dict[str, Any]]


def pool(found: dict[str, list[str]], fraction: float, rng: np.random.Generator) -> list[str]:
    """Return a sample without replacement of a class's components.

    Args:
        found: phrases by clip, over the whole class.
        fraction: share to keep, rounded up.
        rng: decides which.
    """
    flat = sorted({phrase for phrases in found.values() for phrase in phrases})
    kept = math.ceil(fraction * len(flat))
    return [flat[index] for index in sorted(rng.permutation(len(flat))[:kept])]


def run(request: Request, context: Context) -> Result:
    """Caption every clip.

    Raises:
        InvalidValueError: a clip is not a train clip (validation and test clips never reach a caption), or the language model's server
            cannot be reached, refuses or keeps failing.
    """
    settings = request.settings
    table = manifest.accepted(manifest.read(context.resolve(request.clips)))
    manifest.require_train(table, request.clips)
    writer = None if settings.mode == "template" else make(settings, "caption", context)
    made = _templates(table) if writer is None else _written(table, writer, settings, context)
    parameters = [json.loads(text) | made[clip] for clip, text in zip(table["clip_id"], table["parameters"], strict=True)]
    table["caption"] = [part["captions"][0] for part in parameters]
    table["parameters"] = [json.dumps(part, sort_keys=True, ensure_ascii=False) for part in parameters]
    manifest.write(context.output, table)
    return _result([part["captions"] for part in parameters], sum("caption_fallback" in part for part in made.values()), writer, settings)


def _result(captions: list[list[str]], fallbacks: int, writer: Writer | None, settings: Settings) -> Result:
    flat = [caption for own in captions for caption in own]
    words = round(float(np.mean([len(caption.split()) for caption in flat])), 2) if flat else 0.0
    counted = writer.counts.told(settings) if writer else {}
    return Result(len(captions), len(flat), len(set(flat)), words, fallbacks=fallbacks, **counted)


def _templates(table: pd.DataFrame) -> Parameters:
    return {
        row.clip_id: {"captions": [template(str(row.label))], "caption_mode": "template", "caption_model": "template"}
        for row in table.itertuples()
    }


def _written(table: pd.DataFrame, writer: Writer, settings: Settings, context: Context) -> Parameters:
    """Write captions in any mode but the template."""
    subjects = _subjects(table, settings)
    made: Parameters = {clip: {"caption_mode": settings.mode, "caption_model": writer.name} for clip in subjects}
    reasons: dict[str, str] = {}
    if settings.mode in LISTENED:
        heard = _listen(table, subjects, made, context)
        listening, reasons = _components(heard, made, writer, settings, context)
        for clip, (events, scenes) in listening.items():
            made[clip] |= {"events": events, "scenes": scenes}
        subjects = _mixed(subjects, made, settings) if settings.mode == "mixcap" else _own(subjects, made)
    jobs = [
        (clip, partial(writer.captions, settings.mode, subject, settings.captions_per_clip),
         partial(grammar.captions, settings.mode, subject, settings.seed, settings.captions_per_clip, settings.max_words))
        for clip, subject in subjects.items()
    ]  # fmt: skip
    captions, later = for_all(writer, jobs, settings, "caption", context, "clips captioned")
    for clip in subjects:
        made[clip]["captions"] = captions[clip]
        if settings.mode == "supcon":
            made[clip]["captions_supcon"] = captions[clip]
        if settings.mode not in LISTENED:
            made[clip] |= {"events": list(subjects[clip].events), "scenes": list(subjects[clip].scenes)}
        if reason := later.get(clip) or reasons.get(clip):
            made[clip]["caption_fallback"] = reason
    return made


def _subjects(table: pd.DataFrame, settings: Settings) -> dict[str, Subject]:
    """Return what is known of every clip before anyone has listened; for modes by label, the vocabulary stands for the components."""
    separator = settings.label_separator if settings.mode == "multi_label" else ""
    labels = {str(row.clip_id): labels_of(str(row.label), separator) for row in table.itertuples()}
    unlabelled = [clip for clip, own in labels.items() if not own]
    if unlabelled:
        raise InvalidValueError("clips without a label", where="caption", allowed="a label for every clip", received=unlabelled[:5])
    every = sorted({label for own in labels.values() for label in own})
    subjects = {}
    for clip, own in labels.items():
        subject = Subject(clip, own, foreign_labels(every, own))
        if settings.mode not in LISTENED:
            events, scenes = (tuple(grammar.usable(grammar.known(own, kind), subject)) for kind in ("events", "scenes"))
            subject = replace(subject, events=events, scenes=scenes)
        subjects[clip] = subject
    return subjects


def _listen(table: pd.DataFrame, subjects: dict[str, Subject], made: Parameters, context: Context) -> dict[str, Subject]:
    """Measure every clip; what a captioner said of it (``describe``) is kept, else the measured words describe it.

    Returns:
        Subjects with the description, and with the measured events and scenes.
    """
    heard = {}
    for number, row in enumerate(table.itertuples(), start=1):
        clip, label = str(row.clip_id), str(row.label)
        measured = descriptors.measure(audio.load_mono(context.resolve(str(row.path)), descriptors.RATE_HZ))
        told = clean(str(json.loads(str(row.parameters)).get("described", "")))
        subject = subjects[clip]
        described = told or components.description(measured, label)
        made[clip] |= {"descriptors": measured.as_dict(), "described": described, "described_by": "captioner" if told else "descriptors"}
        events = tuple(grammar.usable(components.events(measured), subject))
        scenes = tuple(grammar.usable([*components.scenes(measured), *grammar.known(subject.labels, "scenes")], subject))
        heard[clip] = replace(subject, described=described, events=events, scenes=scenes)
        context.progress(number, len(table), "clips measured")
    return heard


def _components(
    heard: dict[str, Subject], made: Parameters, writer: Writer, settings: Settings, context: Context
) -> tuple[dict[str, tuple[list[str], list[str]]], dict[str, str]]:
    """Return every clip's events and scenes: the language model's from the description, or the measured ones and a captioner's."""

    def measured(subject: Subject) -> tuple[list[str], list[str]]:
        by_captioner = made[subject.clip_id]["described_by"] == "captioner"
        events, scenes = grammar.components(subject) if by_captioner else ([], [])
        return [*subject.events, *events], [*subject.scenes, *scenes]

    if settings.language_model == "grammar" or settings.mode == "plain":
        return {clip: measured(subject) for clip, subject in heard.items()}, {}
    jobs = [(clip, partial(writer.components, subject), partial(measured, subject)) for clip, subject in heard.items()]
    return for_all(writer, jobs, settings, "caption", context, "captions taken apart")


def _own(subjects: dict[str, Subject], made: Parameters) -> dict[str, Subject]:
    """Return subjects with nothing but their own description and components (plain)."""
    return {
        clip: replace(subject, described=made[clip]["described"], events=tuple(made[clip]["events"]), scenes=tuple(made[clip]["scenes"]))
        for clip, subject in subjects.items()
    }


def _mixed(subjects: dict[str, Subject], made: Parameters, settings: Settings) -> dict[str, Subject]:
    """Return subjects whose components come from the whole class: a share of its pool, drawn for every clip (mixcap)."""
    by_class: dict[tuple[str, ...], list[str]] = {}
    for clip, subject in subjects.items():
        by_class.setdefault(subject.labels, []).append(clip)
    mixed = {}
    for clip, subject in subjects.items():
        rng = grammar.seeded(settings.seed, "mixcap", clip)
        events, scenes = (
            tuple(pool({other: made[other][kind] for other in by_class[subject.labels]}, settings.pool_fraction, rng))
            for kind in ("events", "scenes")
        )  # fmt: skip
        mixed[clip] = replace(subject, events=events, scenes=scenes)
    return mixed
