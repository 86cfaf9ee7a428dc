"""Finds what below a data root nobody needs any more: outputs, half-done folders and logs that no kept run or published dataset leads to.

What a step once made is found again by its key, so a removed output is simply made anew when a run asks for it. Published datasets,
exports, records of runs and the server's own files are never touched, nor is anything below a symbolic link.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from core import keys, runs
from core.datasets.naming import PUBLISHED
from core.errors import InvalidValueError
from core.heartbeat import PATIENCE_S
from core.locks import try_lock
from core.store import Done, Store

DAYS, KEEP_RUNS = 30.0, 10
NAME = re.compile(rf"(?P<key>[0-9a-f]{{{keys.KEY_DIGITS}}})(?:\.(?P<mark>partial|unrecorded-.+))?")
RUNNING, YOUNG, BUSY = "is running", "is young", "is being worked on"
SILENT_S = 20 * PATIENCE_S
"""A heartbeat that is older belongs to a dead run; far more than a watcher's patience, since another host's clock may differ."""
OUTPUT, PARTIAL, ASIDE, LOGS, CACHE = "output", "half done", "set aside", "logs", "cache"
CACHES = ("bytecode", "fontconfig", "matplotlib", "numba")
"""Folders of ``cache/`` that libraries fill again by themselves; what was downloaded from a hub lies beside them and stays."""


@dataclass(frozen=True)
class Item:
    """One folder below the data root that could go."""

    path: str
    """Relative to the data root."""
    kind: str
    stage: str
    key: str
    stays: str
    """Why it stays; empty: it can go."""
    runs: tuple[str, ...] = ()
    """Runs, kept or not, that it belongs to."""


@dataclass(frozen=True)
class Needed:
    """What must stay, and which run an output belongs to."""

    outputs: Mapping[str, str]
    """Why an output is needed, by its path: ``stages/<stage>/<key>``."""
    kept: Mapping[str, str]
    """Why a run is kept, by its id."""
    of_runs: Mapping[str, tuple[str, ...]]
    """Runs that an output belongs to, by its path."""


def working(root: Path, run: runs.Run) -> bool:
    """Whether a run is under way: its process lives on this host, or its heartbeat, which other hosts see too, goes on."""
    if run.state != "running":
        return False
    try:
        beat = time.time() - (runs.folder(root, run.run_id) / "heartbeat").stat().st_mtime
    except OSError:
        beat = float("inf")
    return beat < SILENT_S or runs.state_now(run) == "running"


def needed(root: Path, days: float = DAYS, keep_runs: int = KEEP_RUNS) -> Needed:
    """Return what kept runs and published datasets lead to.

    Args:
        root: the data root.
        days: runs that ended at most so many days ago are kept.
        keep_runs: so many of the newest runs are kept, too.

    Raises:
        InvalidValueError: a run's or a version's record cannot be read, so that nobody knows what it needs.
    """
    store, found = Store(root), [_run(root, run_id) for run_id in runs.ids(root)]
    newest = {run.run_id for run in found[-keep_runs:]} if keep_runs else set()
    kept, outputs, of_runs = {}, dict[str, str](), dict[str, tuple[str, ...]]()
    for run in found:
        own = {step["output"] for step in run.steps} | {run.report, *run.extra.get("exports", [])}
        for output in own:
            of_runs[output] = (*of_runs.get(output, ()), run.run_id)
        why = _why_kept(root, run, newest, days)
        if why:
            kept[run.run_id] = why
            outputs |= dict.fromkeys(own, f"run {run.run_id}")
    for name, sources in _published(root):
        outputs = dict.fromkeys(sources, f"published {name}") | outputs
    return Needed(_with_ancestors(store, outputs), kept, of_runs)


def _why_kept(root: Path, run: runs.Run, newest: Collection[str], days: float) -> str:
    if working(root, run):
        return RUNNING
    if run.run_id in newest:
        return "is one of the newest"
    return YOUNG if (time.time() - (run.finished_at or run.started_at)) / 86400 < days else ""


def _run(root: Path, run_id: str) -> runs.Run:
    try:
        return runs.load(root, run_id)
    except (ValueError, TypeError, OSError) as error:
        path = runs.folder(root, run_id) / runs.RECORD
        hint = f"nobody knows what this run needs; if it needs nothing, remove {path.parent}"
        raise InvalidValueError(
            f"cannot be read: {error}", where=str(path), allowed="a run's record", received="damaged", hint=hint
        ) from error


def _published(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (name@version, its sources) of every published version."""
    for path in sorted((root / PUBLISHED).glob("*/*/version.json")):
        if path.parent.is_symlink():
            continue  # "current", which is one of the others
        try:
            yield f"{path.parent.parent.name}@{path.parent.name}", list(json.loads(path.read_text(encoding="utf-8"))["sources"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = f"./run.sh verify {path.parent} says what is wrong with it; a version that is lost can be removed by hand"
            raise InvalidValueError("cannot be read", where=str(path), allowed="a version", received=str(error), hint=hint) from error


def _with_ancestors(store: Store, outputs: Mapping[str, str]) -> dict[str, str]:
    """Add what the outputs were made from, as their done records say."""
    found, pending = dict(outputs), list(outputs)
    while pending:
        output = pending.pop()
        done = _done(store, output)
        for stage, key in keys.dependencies(done.identity) if done else []:
            parent = f"stages/{stage}/{key}"
            if parent not in found:
                found[parent] = found[output]
                pending.append(parent)
    return found


def _done(store: Store, output: str) -> Done | None:
    match = keys.STAGE_PATH.fullmatch(output)
    return store.done(match["stage"], match["key"]) if match else None


def survey(root: Path, need: Needed, days: float = DAYS, *, caches: bool = False) -> list[Item]:
    """Return every folder that could go, and why the others stay; nothing is changed."""
    store, found = Store(root), []
    for kind in ("stages", "attempts"):
        for stage in _folders(root / kind):
            for folder in _folders(stage):
                match = NAME.fullmatch(folder.name)
                if match:  # anything else is not the store's
                    found.append(_item(store, need, folder, kind, match, days))
    # Libraries write there whenever a child runs; a run under way would meet a half-removed folder.
    busy = "a run is under way" if RUNNING in need.kept.values() else "" if caches else "only with --caches"
    for folder in _folders(root / "cache"):
        found.append(Item(f"cache/{folder.name}", CACHE, "", "", busy if folder.name in CACHES else "downloads"))
    return found


def _item(store: Store, need: Needed, folder: Path, kind: str, match: re.Match[str], days: float) -> Item:
    stage, key, mark = folder.parent.name, match["key"], match["mark"] or ""
    output, finished = f"stages/{stage}/{key}", store.done(stage, key) is not None
    what = ASIDE if mark.startswith("unrecorded") else LOGS if kind == "attempts" else PARTIAL if mark else OUTPUT
    if what == OUTPUT and not finished:
        what = ASIDE  # a folder without a record is not data
    why = need.outputs.get(output, "")
    if what in (PARTIAL, ASIDE) and finished:
        why = ""  # the work is done, and lies beside it
    elif not why and (time.time() - _changed(folder)) / 86400 < days:
        why = YOUNG
    if _in_use(store, stage, key):
        why = BUSY
    return Item(f"{kind}/{stage}/{folder.name}", what, stage, key, why, need.of_runs.get(output, ()))


def _folders(parent: Path) -> list[Path]:
    """Return the folders in a folder, sorted; neither itself nor they are symbolic links."""
    if parent.is_symlink() or not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))


def _changed(folder: Path) -> float:
    """Return when something was last put into a folder, as Unix time."""
    try:
        return max(item.lstat().st_mtime for item in (folder, *folder.iterdir()))
    except OSError:
        return time.time()


def _lock_files(store: Store, stage: str, key: str) -> list[Path]:
    return sorted((store.root / "locks" / stage).glob(f"{key}.*"))


def _in_use(store: Store, stage: str, key: str) -> bool:
    with _held(_lock_files(store, stage, key)) as free:
        return not free


@contextmanager
def _held(files: Sequence[Path]) -> Iterator[bool]:
    """Hold the locks of a piece of work and yield True, or False when somebody else holds one. Lock files are never removed."""
    with ExitStack() as stack:
        for path in files:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, descriptor)
            if not try_lock(descriptor):
                yield False
                return
        yield True


def remove(root: Path, days: float = DAYS, keep_runs: int = KEEP_RUNS, *, caches: bool = False) -> list[Item]:
    """Remove what can go, and return it.

    No run begins while that is decided and the folders are renamed: a run either began before and keeps what it needs, or finds
    nothing and makes it. The slow part comes after; a kill in between leaves folders that are set aside, which the next call removes.

    Raises:
        InvalidValueError: as :func:`needed`.
    """
    store, gone, doomed = Store(root), list[Item](), list[Path]()
    with runs.none_begins(store.root):
        for item in survey(store.root, needed(store.root, days, keep_runs), days, caches=caches):
            path = store.root / item.path
            if item.stays or not path.exists():
                continue
            with _locked(store, item) as free:
                if free:
                    doomed.append(path if item.kind in (ASIDE, CACHE) else store.set_aside(path))
                    gone.append(item)
    for path in doomed:
        shutil.rmtree(path, ignore_errors=True)
    return gone


@contextmanager
def _locked(store: Store, item: Item) -> Iterator[bool]:
    if not item.stage:
        yield True
        return
    folder = store.root / "locks" / item.stage
    folder.mkdir(parents=True, exist_ok=True)
    with _held(sorted({*_lock_files(store, item.stage, item.key), folder / f"{item.key}.whole"})) as free:
        yield free
