"""Writes ``clips.csv``; no sound is read."""

from __future__ import annotations

import csv
import io
from collections import Counter

from core import atomic
from core.context import Context
from core.errors import InvalidValueError
from tasks.import_dataset.layouts import read
from tasks.import_dataset.spec import Request, Result

TABLE = "clips.csv"
COLUMNS = ("path", "label", "split", "fold")


def run(request: Request, context: Context) -> Result:
    """Read one dataset.

    Raises:
        InvalidValueError: the folder does not look like the layout, a path leads out of it, or no file is there at all.
    """
    root = context.locate(request.root)
    clips = read(request, root)
    outside = [clip.path for clip in clips if not (root / clip.path).resolve().is_relative_to(root.resolve())]
    if outside:
        raise InvalidValueError("paths lead out of the dataset", where=str(root), allowed="paths below it", received=outside[:5])
    missing = sum(not (root / clip.path).is_file() for clip in clips)
    if missing == len(clips):
        hint = "unpack the audio beside the tables"
        raise InvalidValueError("no sound file is there", where=str(root), allowed=clips[0].path, received="none", hint=hint)
    if missing:
        context.log(f"{missing} of {len(clips)} files are missing; prepare rejects their rows")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows((clip.path, ",".join(clip.labels), clip.split, clip.fold) for clip in clips)
    atomic.write_text(context.output / TABLE, text.getvalue())
    return Result(
        clips=len(clips), labels=tuple(sorted({label for clip in clips for label in clip.labels})), missing=missing,
        splits=dict(sorted(Counter(clip.split for clip in clips if clip.split).items())),
        folds=dict(sorted(Counter(clip.fold for clip in clips if clip.fold).items(), key=lambda item: int(item[0]))),
    )  # fmt: skip
