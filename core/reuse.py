"""Takes clips over from earlier outputs of the same stage, so that a changed row of a table costs its own clips and no others.

A stage names what each of its clips hangs on. Where an earlier output (a donor, found by :mod:`core.donors`) has a clip of the same name
that hung on the same, its file gets a second name and its row is copied: byte for byte what making everything afresh gives. A donor is
believed only as far as the digests in its records go: what is gone or damaged is made again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import atomic, keys, manifest
from core.context import CLIPS_MADE, CLIPS_REUSED, DONE, Context
from core.contract import Stage, build, to_dict
from core.errors import InvalidValueError

Row = dict[str, Any]
COUNT_EVERY_S = 0.5


def fingerprint(*parts: Any) -> str:
    """Return a digest of JSON-ready values: equal for equal ones."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def parameters_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest row's ``parameters``."""
    return dict(json.loads(row["parameters"]))


@dataclass(frozen=True)
class Donor:
    """A finished output of the same stage."""

    folder: Path
    request: dict[str, Any]
    """The request as its done record has it: outside files by their digest."""
    rows: list[Row]
    """Its manifest."""


class Reuse:
    """The clips of the donors; a context manager that says in the end how many were made and how many taken over.

    Args:
        context: of the stage; without donors everything is made.
        wanted: what each clip hangs on, by its name, as a :func:`fingerprint`.
        index: returns a donor's rows by what they hung on; it may raise OSError or ValueError where the donor's own tables are gone.
    """

    def __init__(self, context: Context, wanted: Mapping[str, str], index: Callable[[Donor], Mapping[str, Row]]) -> None:
        self._context, self._wanted, self._index = context, wanted, index
        self._waiting = list(context.donors)
        self._open: list[Mapping[str, Row]] = []
        self._told = 0.0
        self.made = self.reused = 0

    def __enter__(self) -> Reuse:
        return self

    def __exit__(self, *exception: object) -> None:
        self._count(last=True)
        if self._context.donors:
            self._context.log(f"{self.reused} clips taken over from earlier outputs, {self.made} made")

    def row(self, name: str, usable: Callable[[Row], bool] = lambda row: True) -> Row | None:
        """Return the manifest row that a donor has of a clip, for stages that write no sound; None: make it."""
        found = next((row for row in self._rows(name) if usable(row)), None)
        self._add(found is not None)
        return None if found is None else dict(found)

    def clip(self, name: str, folder: Path) -> Row | None:
        """Take a clip over into ``folder``/audio and return its row; None: make it.

        Args:
            name: the clip's name, which is its file's, too.
            folder: the shard's folder, or the output of a stage without shards.
        """
        for row in self._rows(name):
            if row["status"] != "accepted":
                self._add(True)
                return dict(row)
            source = self._context.resolve(row["path"])
            if not _is_whole(source, row["sha256"]):
                self._context.log(f"{row['path']} is gone or not what its record says; the clip is made again")
                continue
            target = folder / "audio" / f"{name}{source.suffix}"
            atomic.link(source, target)
            self._add(True)
            return {**row, "path": self._context.published(self._context.output / "audio" / target.name)}
        self._add(False)
        return None

    def _rows(self, name: str) -> Iterator[Row]:
        """Yield the rows of the donors that have the clip; a donor is opened only once those before it lack one."""
        wanted = self._wanted.get(name, "")
        for number in range(len(self._open) + len(self._waiting)):
            if number == len(self._open):
                self._open.append(self._opened(self._waiting.pop(0)))
            if wanted in self._open[number]:
                yield self._open[number][wanted]

    def _opened(self, output: str) -> Mapping[str, Row]:
        """Return a donor's rows by what they hung on; none of a donor that is gone or whose manifest is not what was recorded."""
        try:
            folder = self._context.resolve(output)
            record = json.loads((folder / DONE).read_text())
            if not _is_whole(folder / manifest.FILE_NAME, record["files"][manifest.FILE_NAME]):
                self._context.log(f"the manifest of {output} is gone or not what its record says; nothing is taken over from it")
                return {}
            rows: list[Row] = manifest.read(folder).to_dict("records")  # type: ignore[assignment]
            return self._index(Donor(folder, record["identity"]["request"], rows))
        except (OSError, ValueError, KeyError, InvalidValueError) as error:
            self._context.log(f"nothing is taken over from {output}: {error}")
            return {}

    def _add(self, reused: bool) -> None:
        self.reused, self.made = self.reused + reused, self.made + (not reused)
        self._count()

    def _count(self, last: bool = False) -> None:
        """Report the counts so far: now and then, and in the end, so that those of a killed child are known as well."""
        now = time.monotonic()
        if last or now - self._told >= COUNT_EVERY_S:
            self._told = now
            self._context.metric(CLIPS_MADE, self.made, self.made + self.reused)
            self._context.metric(CLIPS_REUSED, self.reused, self.made + self.reused)


def earlier(stage: Stage, request: Any, context: Context, hangs_on: Callable[[Any], Mapping[str, Any]]) -> Reuse:
    """Return what may be taken over, for stages whose tables are outputs of other stages.

    Args:
        stage: with its ``row_inputs``.
        request: what is wanted.
        context: of the stage.
        hangs_on: given a request, this one or a donor's, returns everything that decides each clip and its row besides what all donors
            share (stage, code, environment, other settings): JSON-ready, by clip_id.
    """

    def index(donor: Donor) -> dict[str, Row]:
        then = hangs_on(as_donor(stage, request, donor.request))
        return {fingerprint(row["clip_id"], then[row["clip_id"]]): row for row in donor.rows if row["clip_id"] in then}

    wanted = {name: fingerprint(name, value) for name, value in hangs_on(request).items()}
    return Reuse(context, wanted, index)


def as_donor(stage: Stage, request: Any, recorded: Mapping[str, Any]) -> Any:
    """Return ``request`` with a donor's tables in the place of its own."""
    data = to_dict(request)
    for dotted in stage.row_inputs:
        *parents, name = dotted.split(".")
        ours, theirs = data, recorded
        for parent in parents:
            ours, theirs = ours[parent], theirs[parent]
        ours[name] = theirs[name]
    return build(type(request), data)


def _is_whole(path: Path, digest: str) -> bool:
    try:
        return bool(digest) and keys.file_digest(path) == digest
    except OSError:
        return False
