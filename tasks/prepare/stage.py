"""Reads the tables, decodes every clip once, writes the manifest, ``rejected.csv`` and ``labels.json``."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core import atomic, audio, keys, manifest
from core.audio_checks import Limits, Unusable, load, locate
from core.context import Context
from core.errors import InvalidValueError
from core.reuse import Reuse
from tasks.prepare import attribution, decoded, splits
from tasks.prepare.spec import Request, Result, Settings
from tasks.prepare.table import Row, Source, read_tables

REJECTED_COLUMNS = ("file", "line", "column", "reason", "detail", "path")


def run(request: Request, context: Context) -> Result:
    """Check every row and decode every usable clip."""
    root, settings = context.locate(request.root), request.settings
    rows, splits_from = _divided(request, root, context)
    attribution.assign(rows, root, settings.attribution)
    digests = _digests(rows, root)
    splits.reject_leaks(rows, digests)
    made = []
    with decoded.earlier(rows, digests, context) as earlier:
        for number, row in enumerate(rows, start=1):
            made.append(_decode(row, root, digests, settings, context, earlier))
            context.progress(number, len(rows), "rows")
    _write_rejected(context.output / "rejected.csv", rows)
    frame = manifest.frame(made)
    manifest.write(context.output, frame)
    result = _result(rows, manifest.accepted(frame), settings.label_separator, splits_from)
    if result.rejected > settings.max_reject_fraction * result.rows or not result.accepted:
        raise InvalidValueError(
            f"{result.rejected} of {result.rows} rows cannot be used: {result.reasons}", where=request.csv,
            allowed=f"at most {settings.max_reject_fraction:.0%} rejected, and at least one usable clip", received=result.rejected,
            hint=f"the first one: {next(f'{row.table}, line {row.line}: {row.reason}: {row.detail}' for row in rows if row.reason)}",
        )  # fmt: skip
    atomic.write_json(context.output / "labels.json", list(result.classes))
    return result


def _divided(request: Request, root: Path, context: Context) -> tuple[list[Row], str]:
    """Return the rows of all tables, each with its split, and where the splits come from."""
    settings, by_class = request.settings, not request.settings.label_separator
    given = {"train": request.csv, "val": request.val_csv, "test": request.test_csv} if request.test_csv else {"": request.csv}
    sources = [Source(context.locate(text), split) for split, text in given.items() if text]
    rows, column = read_tables(sources, root, settings)
    if request.val_csv:
        return rows, "tables"
    if request.test_csv:
        of_train = [row for row in rows if row.split == "train"]
        splits.draw(of_train, settings.val_share, 0.0, settings.split_seed, by_class)
        return rows, "tables, val drawn from train"
    if settings.fold_column or column:
        return rows, "folds" if settings.fold_column else f"column {column}"
    splits.draw(rows, settings.val_share, settings.test_share, settings.split_seed, by_class)
    return rows, "drawn"


def _digests(rows: Sequence[Row], root: Path) -> dict[tuple[str, int], str]:
    """Return the SHA-256 of every file by line; rows whose file cannot be reached are rejected here."""
    found = {}
    for row in rows:
        if row.reason:
            continue
        try:
            found[row.place] = keys.file_digest(locate(root, row.path))
        except Unusable as error:
            row.reject(error.reason, "path", error.detail)
            continue
        wanted = row.extra.get("sha256", "")
        if wanted and wanted.lower() != found[row.place]:
            row.reject("digest_mismatch", "sha256", f"the table says {wanted}, the file has {found[row.place]}")
    return found


def _decode(
    row: Row, root: Path, digests: dict[tuple[str, int], str], settings: Settings, context: Context, earlier: Reuse
) -> dict[str, Any]:  # fmt: skip
    """Return the row's manifest entry; a usable clip is written as FLAC at its own rate and channels, or taken over if it was before."""
    digest = digests.get(row.place, "")
    clip_id = decoded.clip_id(row, digest)
    limits = Limits(settings.min_duration_s, settings.max_duration_s, settings.silence_dbfs, settings.clipped_share)
    values: dict[str, Any] = {"label": row.label, "split": row.split, "fold": row.fold, "caption": row.extra.get("caption", "")}
    values["parameters"] = {"source_path": row.path, "source_sha256": digest, "line": row.line, "table": row.table}
    if row.extra.get("dataset"):
        values["parameters"]["source_dataset"] = row.extra["dataset"]
    if row.attribution:
        values["parameters"]["attribution"] = row.attribution
    if not row.reason and (then := earlier.clip(clip_id, context.output)):
        return manifest.row(clip_id, then["path"], "gold", **{name: then[name] for name in decoded.OF_THE_SOUND}, **values)
    if not row.reason:
        try:
            samples, rate_hz = load(locate(root, row.path), limits)
        except Unusable as error:
            row.reject(error.reason, "path", error.detail)
    if row.reason:
        unique = manifest.clip_id("rejected", row.table, row.line, row.path, row.label)
        return manifest.row(unique, f"rejected/{unique}", "gold", status="rejected", reason=f"{row.reason}: {row.detail}", **values)
    path = context.output / "audio" / f"{clip_id}.flac"
    audio.write(path, samples.clip(-1, 1), rate_hz)
    values |= {"duration_s": samples.shape[1] / rate_hz, "sample_rate_hz": rate_hz, "channels": samples.shape[0]}
    return manifest.row(clip_id, context.published(path), "gold", sha256=keys.file_digest(path), **values)


def _write_rejected(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(REJECTED_COLUMNS)
        writer.writerows((row.table, row.line, row.column, row.reason, row.detail, row.path) for row in rows if row.reason)


def _result(rows: Sequence[Row], accepted: Any, separator: str, splits_from: str) -> Result:
    labels = {part.strip() for text in accepted["label"] for part in text.split(separator)} if separator else set(accepted["label"])
    counts = accepted["split"].value_counts()
    return Result(
        rows=len(rows), accepted=len(accepted), rejected=len(rows) - len(accepted), train=int(counts.get("train", 0)),
        val=int(counts.get("val", 0)), test=int(counts.get("test", 0)), classes=tuple(sorted(labels)),
        reasons=dict(sorted(Counter(row.reason for row in rows if row.reason).items())), splits_from=splits_from,
    )  # fmt: skip
