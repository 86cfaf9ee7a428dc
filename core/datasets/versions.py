"""Freezes datasets under a lasting name: ``published/<name>/<version>`` with ``current`` pointing at the newest version."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core import atomic, locks, runs
from core.datasets import card, export, listing, summary
from core.datasets.naming import CURRENT, PUBLISHED, SCHEMA, check_name, check_version, is_name, is_version
from core.errors import InvalidValueError, nearest
from core.redact import redactor

_FOLDER = re.compile(r"(?<![\w.:/~…-])~?/[^\s'\",\[\]{}=]*?([^\s/'\",\[\]{}=]+)(?=[\s'\",\[\]{}=]|/?$)")
"""An absolute path, and its last part."""


def version_of(sources: Sequence[str], kind: str) -> str:
    """Return the version of a dataset: the sources' names hold their content keys, so the same content has the same version."""
    return hashlib.sha256("\n".join([kind, *sorted(sources)]).encode()).hexdigest()[:12]


def publish(
    root: Path, name: str, kind: str, sources: Sequence[str], keep: int = 3, facts: Mapping[str, Any] | None = None
) -> tuple[Path, bool]:  # fmt: skip
    """Make a version from finished dataset folders, unless it exists, and let ``current`` point at it.

    Readers of ``current`` see the old version or the new one, never a half: the link is replaced by a rename. Beside the clips a version
    holds ``clips.csv``, ``version.json``, the card ``README.md`` and ``files.sha256``.

    Args:
        root: the data root.
        name: lasting name of the dataset.
        kind: one of :data:`core.datasets.export.FORMS`.
        sources: dataset folders, relative to the root.
        keep: versions to keep, the present one included; older ones are removed.
        facts: what is known beyond the clips, as JSON: ``command`` and ``settings`` that made them, and anything measured.

    Returns:
        The version's folder, and whether it was made now.

    Raises:
        InvalidValueError: the name could leave the folder, an unknown form, or no dataset of single clips.
    """
    check_name(name, "publish_as")
    export.check_form(kind)
    folder = root / PUBLISHED / name
    target = folder / version_of(sources, kind)
    with alone(root, name):
        before, fresh = current(folder), not target.exists()
        if fresh:
            _freeze(root, name, kind, sources, target, facts or {})
        point(folder, target)
        _drop_old(folder, target, before, keep)
    return target, fresh


def _freeze(root: Path, name: str, kind: str, sources: Sequence[str], target: Path, facts: Mapping[str, Any]) -> None:
    """Write a version into a temporary folder and rename it."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        with runs.none_removed(root):
            every = export.every_row(root, sources)
            table = export.collect(root, sources)
            export.fill(kind, table, root, temporary)
        parent = current(target.parent)
        version = _described(name, kind, sources, target.name, parent.name if parent else "", facts)
        version |= {"captioned": int((table["caption"] != "").sum()), **summary.describe(table, every, kind)}
        (temporary / listing.CARD).write_text(
            card.write(version, [dict(zip(table.columns, cells, strict=True)) for cells in table.itertuples(index=False)]), encoding="utf-8"
        )
        data = listing.of_folder(temporary)
        version["files"] = {"count": len(data), "bytes": sum(entry.size for entry in data)}
        atomic.write_json(temporary / listing.VERSION_FILE, version)
        own = listing.of_file(temporary, temporary / listing.VERSION_FILE)
        atomic.write_text(temporary / listing.LISTING, listing.render([*data, own]))
        atomic.rename_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _described(name: str, kind: str, sources: Sequence[str], version: str, parent: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names and dates of a version, and its facts as anybody may read them."""
    told = _tellable(facts, redactor())
    measured = {key: value for key, value in told.items() if key not in ("command", "settings")}
    return {
        "schema": SCHEMA, "name": name, "version": version, "form": kind, "command": str(told.get("command", "")),
        "settings": told.get("settings", {}), "sources": sorted(sources), "parent": parent,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "facts": measured,
    }  # fmt: skip


def _tellable(value: Any, clean: Callable[[Any], Any]) -> Any:
    """Return JSON without secrets, without this machine's folders (only their last part stays), and with null for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): _tellable(item, clean) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tellable(item, clean) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _FOLDER.sub(r"…/\1", clean(value)) if isinstance(value, str) else value


@contextmanager
def alone(root: Path, name: str) -> Iterator[None]:
    """Hold a published dataset for this process; another that publishes or fetches the same name waits."""
    with locks.held(root / "locks" / PUBLISHED / name):
        # Nobody else writes now: what a killed process left behind can go.
        for left in (root / PUBLISHED / name).glob(".*.tmp"):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() and not left.is_symlink() else left.unlink(missing_ok=True)
        yield


def point(folder: Path, target: Path) -> None:
    """Let ``current`` point at a version, in one step; from then on it counts as the newest."""
    os.utime(target)
    temporary = folder / f".{CURRENT}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.name)
    temporary.replace(folder / CURRENT)


def replace(target: Path, fresh: Path) -> None:
    """Put a version's whole copy in the place of its damaged one; for who holds it (:func:`alone`)."""
    doomed = _aside(target)
    atomic.rename_folder(fresh, target)
    shutil.rmtree(doomed)


def remove(root: Path, name: str) -> None:
    """Remove a published dataset with all its versions, if there is one."""
    folder = root / PUBLISHED / name
    if folder.is_dir():
        with alone(root, name):
            for version in versions(folder):
                shutil.rmtree(_aside(version))
            shutil.rmtree(folder)


def _drop_old(folder: Path, target: Path, before: Path | None, keep: int) -> None:
    """Remove versions, the oldest first; what was the present one until now goes last, whatever its date."""
    made = versions(folder)
    others = [item for item in made if item not in (target, before)] + [item for item in made if item == before != target]
    for old in others[: max(0, len(made) - keep)]:
        shutil.rmtree(_aside(old))


def _aside(version: Path) -> Path:
    """Rename a version that is to go: what a kill leaves of it is no version, and is swept up later (:func:`alone`)."""
    return version.rename(version.with_name(f".{version.name}.{os.getpid()}.tmp"))


def versions(folder: Path) -> list[Path]:
    """Return the versions of one published dataset, oldest first."""
    found = [item for item in folder.iterdir() if item.is_dir() and not item.is_symlink() and is_version(item.name)]
    return sorted(found, key=lambda item: item.stat().st_mtime)


def current(folder: Path) -> Path | None:
    """Return the version that ``current`` points at, if there is one."""
    link = folder / CURRENT
    return folder / link.readlink().name if link.is_symlink() and link.exists() else None


def names(root: Path) -> list[str]:
    """Return the names of all published datasets, sorted."""
    return sorted(path.name for path in (root / PUBLISHED).glob("*") if path.is_dir() and is_name(path.name))


def find(root: Path, text: str) -> Path:
    """Return the folder of ``NAME`` (its current version) or ``NAME@VERSION`` (the beginning of a version is enough).

    Raises:
        InvalidValueError: there is no such dataset or version; with the nearest name.
    """
    name, _, wanted = text.partition("@")
    known = names(root)
    if name not in known:
        hint = nearest(name, known) if known else "nothing is published yet; ./run.sh publish last --as NAME"
        raise InvalidValueError("no such published dataset", where="dataset", received=name, hint=hint)
    folder = root / PUBLISHED / name
    made = versions(folder)
    newest = current(folder)
    found = [newest] if newest and wanted in ("", CURRENT) else [item for item in made if wanted and item.name.startswith(wanted)]
    if len(found) != 1:
        hint = "./run.sh datasets lists them"
        raise InvalidValueError("no such version", where=name, allowed=[item.name for item in made], received=wanted or CURRENT, hint=hint)
    return found[0]


def read(folder: Path) -> dict[str, Any]:
    """Return a version's ``version.json``.

    Raises:
        InvalidValueError: there is none, or it is damaged.
    """
    path = folder / listing.VERSION_FILE
    try:
        version = json.loads(path.read_text(encoding="utf-8"))
        return check_version(version, str(path))
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidValueError):
            raise
        hint = "publish writes one: ./run.sh publish RUN --as NAME"
        raise InvalidValueError(
            f"cannot be read: {error}", where=str(path), allowed="a published version", received="none", hint=hint
        ) from error
