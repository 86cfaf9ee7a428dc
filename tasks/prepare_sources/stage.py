"""Groups the captions by clip, decodes every clip once, writes the manifest and ``rejected.csv``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from core import atomic, audio, keys, manifest
from core.audio_checks import Limits, Unusable, load, locate
from core.context import Context
from core.errors import InvalidValueError, nearest
from tasks.prepare_sources.spec import Request, Result, Settings
from tasks.spatial.dry import fitted

LONGEST_S = 3600.0
"""Longer files are no clips."""
REJECTED_COLUMNS = ("file", "line", "caption_id", "reason", "detail")


@dataclass
class Caption:
    """One row of a table."""

    table: str
    line: int
    caption_id: str
    text: str
    clip: str
    """Name of its clip; empty where the table does not say."""


@dataclass
class Clip:
    """One clip with its captions."""

    name: str
    split: str
    captions: list[Caption] = field(default_factory=list)
    path: str = ""
    """Of its file, relative to the root."""
    digest: str = ""
    reason: str = ""
    detail: str = ""

    def reject(self, reason: str, detail: str) -> None:
        """Mark the clip; the first reason stays."""
        if not self.reason:
            self.reason, self.detail = reason, detail


def run(request: Request, context: Context) -> Result:
    """Read the tables and decode every clip.

    Raises:
        InvalidValueError: a table lacks a column, a caption's id occurs twice, or too many clips are unusable.
    """
    settings, root = request.settings, context.locate(request.root)
    clips: list[Clip] = []
    for split, path in (("train", request.csv), ("val", request.val_csv), ("test", request.test_csv)):
        if path:
            clips += _grouped(_read(context.locate(path), settings), split, root, settings)
    _reject_leaks(clips)
    rows = []
    for number, clip in enumerate(clips, start=1):
        rows.append(_decoded(clip, root, settings, context))
        context.progress(number, len(clips))
    table = manifest.frame(rows)
    manifest.write(context.output, table)
    _write_rejected(context.output / "rejected.csv", clips)
    return _result(clips, request)


def _read(path: Path, settings: Settings) -> list[Caption]:
    """Return the rows of a table."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    for name in (settings.id_column, settings.caption_column):
        if name not in table.columns:
            raise InvalidValueError(
                "column missing", where=str(path), allowed=name, received=list(table.columns), hint=nearest(name, table.columns)
            )
    twice = table[settings.id_column][table[settings.id_column].duplicated()]
    if len(twice):
        raise InvalidValueError("an id occurs twice", where=str(path), allowed="unique ids", received=sorted(set(twice))[:5])
    whole = bool(settings.clip_columns) and all(name in table.columns for name in settings.clip_columns)
    return [
        Caption(
            path.name, line, row[settings.id_column].strip(), row[settings.caption_column].strip(),
            "_".join(row[name].strip() for name in settings.clip_columns) if whole else "",
        )
        for line, row in enumerate(table.to_dict("records"), start=2)
    ]  # fmt: skip


def _grouped(captions: list[Caption], split: str, root: Path, settings: Settings) -> list[Clip]:
    """Return the clips of a table, each with its captions and its file."""
    clips: dict[str, Clip] = {}
    for caption in captions:
        path, digest = _found(caption.caption_id, split, root, settings)
        name = caption.clip or digest or caption.caption_id
        clip = clips.setdefault(name, Clip(name, split))
        clip.captions.append(caption)
        if path and not clip.path:
            clip.path, clip.digest = path, digest
    for clip in clips.values():
        if not clip.path:
            clip.reject("missing_file", f"none of {len(clip.captions)} captions has a file, such as {clip.captions[0].caption_id}")
        if not any(caption.text for caption in clip.captions):
            clip.reject("no_caption", "all captions are empty")
    return list(clips.values())


def _found(name: str, split: str, root: Path, settings: Settings) -> tuple[str, str]:
    """Return path and SHA-256 of a caption's file, empty when there is none; a name that leads out of the root has none."""
    for folder in (f"{split}/", ""):
        for ending in settings.endings:
            try:
                path = locate(root, f"{folder}{name}.{ending}")
            except Unusable as error:
                if error.reason != "empty_file":
                    continue
                return f"{folder}{name}.{ending}", ""
            return f"{folder}{name}.{ending}", keys.file_digest(path)
    return "", ""


def _reject_leaks(clips: list[Clip]) -> None:
    """Reject a train clip that is a validation or test clip, too, and a validation clip that is a test clip, by name or by bytes."""
    order = {"test": 0, "val": 1, "train": 2}
    seen: dict[str, Clip] = {}
    for clip in sorted(clips, key=lambda one: order[one.split]):
        for key in filter(None, (f"name {clip.name}", clip.digest and f"bytes {clip.digest}")):
            first = seen.setdefault(key, clip)
            if first.split != clip.split:
                clip.reject("in_two_splits", f"also a {first.split} clip, by its {key.split()[0]}")


def _decoded(clip: Clip, root: Path, settings: Settings, context: Context) -> dict[str, Any]:
    """Write a usable clip as mono FLAC of 24 bit; return its row."""
    identity = manifest.clip_id("source", clip.split, clip.name, clip.digest, settings.sample_rate_hz, settings.duration_s)
    known = [{"caption_id": one.caption_id, "caption": one.text} for one in clip.captions if one.text]
    values: dict[str, Any] = {
        "split": clip.split, "caption": known[0]["caption"] if known else "",
        "parameters": {"source_captions": known, "source_path": clip.path, "source_sha256": clip.digest, "source_name": clip.name},
    }  # fmt: skip
    if not clip.reason:
        try:
            samples, rate_hz = load(locate(root, clip.path), Limits(0.0, LONGEST_S, settings.silence_dbfs, 1.0))
        except Unusable as error:
            clip.reject(error.reason, error.detail)
    if clip.reason:
        return manifest.row(identity, f"rejected/{identity}", "gold", status="rejected", reason=f"{clip.reason}: {clip.detail}", **values)
    length = round(settings.duration_s * settings.sample_rate_hz)
    sound = fitted(audio.resample(samples.mean(axis=0), rate_hz, settings.sample_rate_hz), length, clip.path)
    path = context.output / "audio" / f"{identity}.flac"
    audio.write(path, sound.clip(-1, 1), settings.sample_rate_hz)
    values |= {"duration_s": length / settings.sample_rate_hz, "sample_rate_hz": settings.sample_rate_hz, "channels": 1}
    return manifest.row(identity, context.published(path), "gold", sha256=keys.file_digest(path), **values)


def _write_rejected(path: Path, clips: list[Clip]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(REJECTED_COLUMNS)
    for clip in clips:
        for caption in clip.captions:
            if clip.reason:
                writer.writerow((caption.table, caption.line, caption.caption_id, clip.reason, clip.detail))
            elif not caption.text:
                writer.writerow((caption.table, caption.line, caption.caption_id, "no_caption", "its clip has others"))
    atomic.write_text(path, text.getvalue())


def _result(clips: list[Clip], request: Request) -> Result:
    """Return the counts; refuse a dataset of which too much is missing."""
    bad = [clip for clip in clips if clip.reason]
    usable = Counter(clip.split for clip in clips if not clip.reason)
    reasons = dict(sorted(Counter(clip.reason for clip in bad).items()))
    if len(bad) > request.settings.max_reject_fraction * len(clips) or not usable:
        first = next((f"{one.captions[0].caption_id}: {one.reason}: {one.detail}" for one in bad), "none: empty tables")
        raise InvalidValueError(
            f"{len(bad)} of {len(clips)} clips cannot be used: {reasons}", where=request.root,
            allowed=f"at most {request.settings.max_reject_fraction:.0%} rejected, and at least one usable clip", received=len(bad),
            hint=f"the first one: {first}",
        )  # fmt: skip
    return Result(
        captions=sum(len(clip.captions) for clip in clips), clips=sum(usable.values()), rejected=len(bad),
        lost_captions=sum(len(clip.captions) for clip in bad), reasons=reasons, **{name: usable[name] for name in ("train", "val", "test")},
    )  # fmt: skip
