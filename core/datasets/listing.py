"""``files.sha256``: every file of a version with digest and size; ``sha256sum --check files.sha256`` understands it.

Standard library only: the programs that send and fetch versions read it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core import keys
from core.errors import InvalidValueError

LISTING = "files.sha256"
VERSION_FILE = "version.json"
CARD = "README.md"
HEAD = "# files of a synthloom dataset: above each digest the file's size in bytes\n"
MAX_PATH = 1000
_LINE = re.compile(r"#(?P<size>[0-9]{1,15})\n(?P<digest>[0-9a-f]{64})  (?P<path>[^\n]+)\n")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_RESERVED = {"con", "prn", "aux", "nul"}


@dataclass(frozen=True)
class Entry:
    """One file."""

    path: str
    """Relative to the version's folder, with slashes."""
    size: int
    """Bytes."""
    digest: str
    """SHA-256, 64 lower-case hex digits."""

    def fits(self, path: Path) -> bool:
        """Whether a file, and no link, has this size and digest."""
        return path.is_file() and not path.is_symlink() and path.stat().st_size == self.size and keys.file_digest(path) == self.digest


def of_file(folder: Path, path: Path) -> Entry:
    """Return the entry of one file below a folder."""
    return Entry(path.relative_to(folder).as_posix(), path.stat().st_size, keys.file_digest(path))


def of_folder(folder: Path) -> list[Entry]:
    """Return every file below a folder but the listing itself, sorted by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).as_posix() != LISTING)
    return [of_file(folder, path) for path in paths]


def render(entries: Iterable[Entry]) -> str:
    """Return the listing's text; the same files give the same text."""
    return HEAD + "".join(f"#{entry.size}\n{entry.digest}  {entry.path}\n" for entry in sorted(entries, key=lambda entry: entry.path))


def parse(text: str, where: str = LISTING) -> list[Entry]:
    """Return the entries of a listing.

    Raises:
        InvalidValueError: it is not exactly what :func:`render` writes, or a path could leave the folder.
    """
    entries = [Entry(found["path"], int(found["size"]), found["digest"]) for found in _LINE.finditer(text)]
    if render(entries) != text:
        raise InvalidValueError(
            "damaged, or written by another program", where=where, allowed="what publish wrote", received=f"{text[:80]}…"
        )
    paths = [check_path(entry.path, where) for entry in entries]
    if len({path.casefold() for path in paths}) < len(paths):
        raise InvalidValueError("two files of one name", where=where, allowed="names that differ by more than case", received=len(paths))
    return entries


def read(folder: Path) -> list[Entry]:
    """Return the entries of a version's listing; errors as :func:`parse`, and where there is none."""
    path = folder / LISTING
    if not path.is_file():
        hint = "publish writes one: ./run.sh publish RUN --as NAME"
        raise InvalidValueError("missing", where=str(path), allowed="a published version", received="no such file", hint=hint)
    return parse(path.read_text(encoding="utf-8", errors="replace"), str(path))


def check_path(text: str, where: str) -> str:
    """Return a path that a listing names, if it stays below the folder on every system.

    Raises:
        InvalidValueError: absolute, with ``..`` or a backslash, a control character, a drive, a name that is reserved or too long.
    """
    pure = PurePosixPath(text)
    plain = bool(pure.parts) and len(text) <= MAX_PATH and not _CONTROL.search(text) and pure.as_posix() == text and not pure.is_absolute()
    parts_fit = all(part != ".." and part.split(".")[0].casefold() not in _RESERVED and len(part.encode()) <= 255 for part in pure.parts)
    if not (plain and parts_fit and ":" not in pure.parts[0]):
        raise InvalidValueError(
            "a path that could leave the folder", where=where, allowed="relative paths without '..'", received=text[:200]
        )
    return text
