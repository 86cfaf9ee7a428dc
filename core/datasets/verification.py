"""Verifies a version to the last byte: digests, sizes, extra and missing files, tables against files, sound headers, counts."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from core import keys
from core.datasets import contents, headers, lhotse_form, listing, summary, versions
from core.datasets.export import METADATA
from core.datasets.naming import PUBLISHED
from core.errors import InvalidValueError

LENGTH_TOLERANCE_S = 1e-3


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    path: str
    """The file, relative to the version's folder."""
    what: str
    """In a word or two: ``digest``, ``size``, ``missing``, ``extra``, ``link``, ``row``, ``header``, ``count``, ``unreadable``."""
    detail: str
    """What was expected, and what was found."""


def verify(folder: Path) -> list[Finding]:
    """Return everything that is wrong with a version; an empty list says that every byte is as it was published.

    Args:
        folder: the version's folder; a link to it will do.
    """
    folder = folder.resolve()
    try:
        entries = listing.read(folder)
        version = versions.read(folder)
        table = contents.read(folder)
    except InvalidValueError as error:
        return [*_of_bytes(folder), Finding(Path(error.where).name, "unreadable", str(error))]
    found = _of_files(folder, entries) + _of_rows(folder, table, version["form"]) + _of_counts(version, table, entries)
    return list(dict.fromkeys(found))


def _of_bytes(folder: Path) -> list[Finding]:
    """Say what digests can still say when another part of a version cannot be read."""
    try:
        return _of_files(folder, listing.read(folder))
    except InvalidValueError:
        return []


def _of_files(folder: Path, entries: list[listing.Entry]) -> list[Finding]:
    found = []
    for entry in entries:
        path = folder / entry.path
        if path.is_symlink():
            found.append(Finding(entry.path, "link", "a link, where a file was published"))
        elif not path.is_file():
            found.append(Finding(entry.path, "missing", f"{entry.size} bytes were published"))
        elif path.stat().st_size != entry.size:
            found.append(Finding(entry.path, "size", f"{entry.size} bytes were published, {path.stat().st_size} are there"))
        elif keys.file_digest(path) != entry.digest:
            found.append(Finding(entry.path, "digest", f"other bytes than were published (SHA-256 {entry.digest})"))
    known = {entry.path for entry in entries} | {listing.LISTING}
    there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return found + [Finding(path, "extra", "was not published") for path in there if path not in known]


def _of_rows(folder: Path, table: pd.DataFrame, form: str) -> list[Finding]:
    """Hold the table against the files, both ways, and each sound's header against its row."""
    twice = sorted(set(table["clip_id"][table["clip_id"].duplicated()]))
    found = [Finding("clips.csv", "row", f"clip {clip} stands in it twice") for clip in twice]
    sounds = dict(_sounds(folder, form))
    if form == "csv":
        return found + [item for row in table.to_dict("records") for item in _outside(folder, row)]
    rows = {str(row["path"]): row for row in table.to_dict("records")}
    found += [Finding(path, "missing", "has a row in clips.csv and no file") for path in sorted(rows.keys() - sounds.keys())]
    found += [Finding(path, "row", "a sound without a row in clips.csv") for path in sorted(sounds.keys() - rows.keys())]
    for path in sorted(rows.keys() & sounds.keys()):
        found += _of_header(path, sounds[path], rows[path])
    return found + _of_metadata(folder, form, rows)


def _sounds(folder: Path, form: str) -> Iterator[tuple[str, headers.Header | str]]:
    """Yield every sound by path with its header, or why that cannot be read; an empty text where the format is not known here."""
    if form == "webdataset":
        for shard in sorted(folder.glob("*.tar")):
            yield from _in_shard(shard)
        return
    places = [folder / lhotse_form.AUDIO] if form == "lhotse" else [path for path in folder.iterdir() if path.is_dir()]
    for place in places if form != "csv" else []:
        for path in sorted(place.iterdir()):
            if path.name != METADATA and path.is_file():
                yield path.relative_to(folder).as_posix(), _header(path)


def _in_shard(shard: Path) -> Iterator[tuple[str, headers.Header | str]]:
    try:
        with tarfile.open(shard) as archive:
            for member in archive:
                data = archive.extractfile(member)
                if data is not None and not member.name.endswith(".json"):
                    yield f"{shard.name}/{member.name}", _parsed(io.BytesIO(data.read()), member.name, member.size)
    except (tarfile.TarError, OSError) as error:
        yield shard.name, f"no tar file: {error}"


def _header(path: Path) -> headers.Header | str:
    with path.open("rb") as handle:
        return _parsed(handle, path.name, path.stat().st_size)


def _parsed(handle: Any, name: str, size: int) -> headers.Header | str:
    if not headers.known(Path(name).suffix):
        return ""
    try:
        return headers.parse(handle, Path(name).suffix, size)
    except headers.Unreadable as error:
        return str(error)


def _of_header(path: str, header: headers.Header | str, row: dict[Any, Any]) -> list[Finding]:
    if isinstance(header, str):
        return [Finding(path, "header", header)] if header else []
    said = []
    for name, there in (("sample_rate_hz", header.sample_rate_hz), ("channels", header.channels)):
        if row[name] and row[name] != there:
            said.append(Finding(path, "header", f"{name} {there}, the table says {row[name]}"))
    length_s = header.samples / header.sample_rate_hz
    if header.samples and row["duration_s"] and abs(length_s - row["duration_s"]) > LENGTH_TOLERANCE_S:
        said.append(Finding(path, "header", f"{length_s:.3f} s long, the table says {row['duration_s']:.3f} s"))
    return said


def _outside(folder: Path, row: dict[Any, Any]) -> list[Finding]:
    """Look for a clip of a mere table in the data root that the table belongs to."""
    if folder.parent.parent.name != PUBLISHED:
        return []  # an export, or a copy: the data root is not known
    path = folder.parents[2] / str(row["path"])
    if not path.is_file():
        return [Finding(str(row["path"]), "missing", "is no longer in the data root; publish as audiofolder to keep the sounds, too")]
    wanted = row["sha256"]
    return [Finding(str(row["path"]), "digest", "has changed in the data root")] if wanted and keys.file_digest(path) != wanted else []


def _of_metadata(folder: Path, form: str, rows: dict[str, Any]) -> list[Finding]:
    """Hold the table that the form's own readers use against ``clips.csv``."""
    try:
        named = set(_named(folder, form))
    except (OSError, ValueError, KeyError, EOFError) as error:
        return [Finding(form, "unreadable", f"its readers' own table: {error}")]
    if form == "webdataset":
        return []
    gone = [Finding(path, "row", "named by the readers' own table only") for path in sorted(named - rows.keys())]
    return gone + [Finding(path, "row", "not named by the readers' own table") for path in sorted(rows.keys() - named)]


def _named(folder: Path, form: str) -> Iterator[str]:
    if form == "audiofolder":
        for path in sorted(folder.glob(f"*/{METADATA}")):
            with path.open(encoding="utf-8") as lines:
                yield from (f"{path.parent.name}/{json.loads(line)['file_name']}" for line in lines)
    if form == "lhotse":
        with gzip.open(folder / lhotse_form.RECORDINGS, "rt", encoding="utf-8") as lines:
            yield from (source["source"] for line in lines for source in json.loads(line)["sources"])


def _of_counts(version: dict[str, Any], table: pd.DataFrame, entries: list[listing.Entry]) -> list[Finding]:
    said = version["counts"]
    counted: dict[str, Any] = {"clips": len(table), **{name: summary.tally(table[name]) for name in ("split", "label", "origin")}}
    found = [
        Finding(listing.VERSION_FILE, "count", f"{name}: says {said.get(name)}, the table has {value}")
        for name, value in counted.items() if said.get(name) != value
    ]  # fmt: skip
    data = [entry for entry in entries if entry.path != listing.VERSION_FILE]
    files = {"count": len(data), "bytes": sum(entry.size for entry in data)}
    return found + ([Finding(listing.VERSION_FILE, "count", f"files: says {version.get('files')}, listed are {files}")]
                    if version.get("files") != files else [])  # fmt: skip
