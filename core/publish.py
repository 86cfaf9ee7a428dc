"""Publishes a dataset under a lasting name: ``published/<name>/<version>`` with ``current`` pointing at the newest version."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from core import export
from core.errors import InvalidValueError

CURRENT = "current"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}", re.IGNORECASE)


def version_of(sources: Sequence[str], kind: str) -> str:
    """Return the version of a dataset: the sources' names hold their content keys, so the same content has the same version."""
    return hashlib.sha256("\n".join([kind, *sorted(sources)]).encode()).hexdigest()[:12]


def publish(root: Path, name: str, kind: str, sources: Sequence[str], keep: int = 3) -> tuple[Path, bool]:
    """Make a version from finished dataset folders, unless it exists, and let ``current`` point at it.

    Readers of ``current`` see the old version or the new one, never a half: the link is replaced by a rename.

    Args:
        root: the data root.
        name: lasting name of the dataset.
        kind: ``csv``, ``audiofolder`` or ``webdataset``.
        sources: dataset folders, relative to the root.
        keep: versions to keep, the present one included; older ones are removed.

    Returns:
        The version's folder, and whether it was made now.

    Raises:
        InvalidValueError: the name could leave the folder.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValueError("cannot be a folder's name", where="publish_as", allowed="letters, digits, - _ .", received=name)
    folder = root / "published" / name
    target = folder / version_of(sources, kind)
    fresh = not target.exists()
    if fresh:
        export.export(kind, export.collect(root, sources), root, target)
    temporary = folder / f".{CURRENT}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.name)
    temporary.replace(folder / CURRENT)
    versions = sorted((item for item in folder.iterdir() if item.is_dir() and not item.is_symlink()), key=lambda item: item.stat().st_mtime)
    for old in [item for item in versions if item != target and not item.name.startswith(".")][: max(0, len(versions) - keep)]:
        shutil.rmtree(old)
    return target, fresh
