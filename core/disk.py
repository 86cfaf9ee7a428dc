"""What folders take on disk: links are not followed, and a file with several names is counted once."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 512
"""Bytes of a block of ``st_blocks``, whatever the file system's own."""


@dataclass
class Space:
    """The files below some folders, by identity: a clip that was taken over from an earlier output is the same file by another name."""

    deadline: float = float("inf")
    """When to stop counting, by ``time.monotonic``; what was counted by then is the least there is."""
    cut_short: bool = False
    """Whether that came to pass."""
    _bytes: dict[tuple[int, int], int] = field(default_factory=dict)
    _names: Counter[tuple[int, int]] = field(default_factory=Counter)
    _links: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Bytes on disk."""
        return sum(self._bytes.values())

    @property
    def freed(self) -> int:
        """Bytes that the disk wins when these folders go: files that have a name elsewhere too stay."""
        return sum(size for file, size in self._bytes.items() if self._names[file] >= self._links[file])

    def add(self, path: Path) -> Space:
        """Count a file, or a folder and everything below it; what is gone meanwhile is passed over."""
        try:
            status = path.lstat()
        except OSError:
            return self
        self._count(status)
        pending = [path] if path.is_dir() and not path.is_symlink() else []
        while pending:
            if time.monotonic() > self.deadline:
                self.cut_short = True
                return self
            try:
                with os.scandir(pending.pop()) as entries:
                    for entry in entries:
                        self._count(entry.stat(follow_symlinks=False))
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(Path(entry.path))
            except OSError:
                continue
        return self

    def _count(self, status: os.stat_result) -> None:
        file = (status.st_dev, status.st_ino)
        self._bytes[file] = status.st_blocks * BLOCK
        self._names[file] += 1
        # A folder's own link count is that of its subfolders; it goes as a whole.
        self._links[file] = status.st_nlink if stat.S_ISREG(status.st_mode) else 1


def of(paths: Iterable[Path]) -> Space:
    """Return what some files and folders take together."""
    space = Space()
    for path in paths:
        space.add(path)
    return space


def text(size: int) -> str:
    """Return a size as a person says it, in decimal units as disks are sold: ``1.4 GB``."""
    for unit, digits in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= digits:
            return f"{size / digits:.1f} {unit}"
    return f"{size} B"
