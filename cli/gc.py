"""``gc``: what takes the space of the data root, what of it nobody needs, and, with ``--yes``, its removal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core import disk, gc, places, runs, tables
from core.errors import InvalidValueError
from core.run_pages.write import write

KINDS = ("stages", "published", "exports", "cache", "attempts", "runs", "prefect", "bench")
SHOWN = 15
"""Runs and stages shown at the terminal; ``--json`` has all."""


def collect(days: float = gc.DAYS, keep_runs: int = gc.KEEP_RUNS, *, caches: bool = False, yes: bool = False) -> dict[str, Any]:
    """Look, remove what can go if ``yes``, and return all of it as JSON-ready values; sizes in bytes.

    Raises:
        InvalidValueError: a negative number, or a record that cannot be read.
    """
    for name, value in (("--days", days), ("--keep-runs", keep_runs)):
        if not value >= 0:
            raise InvalidValueError("out of range", where=f"gc {name}", allowed="0 or more", received=value)
    root = places.data_root()
    need = gc.needed(root, days, keep_runs)
    items = gc.survey(root, need, days, caches=caches)
    sizes = {item.path: disk.of([root / item.path]) for item in items}
    going = disk.of(root / item.path for item in items if not item.stays)
    state = {
        "data_root": str(root), "kept_because": {"days": days, "keep_runs": keep_runs}, "removed": False, "frees": going.freed,
        "by_kind": by_kind(root)[0],
        "by_stage": _by_stage(root, items),
        "by_run": _by_run(root, items, need),
        "goes": [_row(item, sizes[item.path].total) for item in items if not item.stays],
        "busy": [_row(item, sizes[item.path].total) for item in items if item.stays == gc.BUSY],
    }  # fmt: skip
    if yes:
        gone = gc.remove(root, days, keep_runs, caches=caches)
        # Counted as it was: what became needed between the look and the removal has stayed, what is new was never looked at.
        write(root, anew=True)  # so that the index of all runs leads to no page that is gone
        state |= {"removed": True, "goes": [_row(item, sizes[item.path].total) for item in gone if item.path in sizes]}
    return state


def by_kind(root: Path, limit_s: float = float("inf")) -> tuple[dict[str, int], bool]:
    """Return the bytes below the data root by kind of folder, and whether that is all; a linked file counts once, for the first kind.

    Args:
        root: the data root.
        limit_s: seconds after which the count is cut short.
    """
    found, before, space = dict[str, int](), 0, disk.Space(time.monotonic() + limit_s)
    for name in KINDS:
        space.add(root / name)
        found[name], before = space.total - before, space.total
    return found, not space.cut_short


def kinds_as_text(found: dict[str, int]) -> str:
    """Return the largest kinds on one line."""
    parts = [f"{name} {disk.text(size)}" for name, size in sorted(found.items(), key=lambda pair: -pair[1]) if size >= 1e5]
    return ", ".join(parts) or "next to nothing"


def _row(item: gc.Item, size: int) -> dict[str, Any]:
    return {"path": item.path, "kind": item.kind, "stage": item.stage, "bytes": size, "stays": item.stays}


def _by_stage(root: Path, items: Iterable[gc.Item]) -> list[dict[str, Any]]:
    folders: dict[str, list[gc.Item]] = {}
    for item in items:
        if item.stage:
            folders.setdefault(item.stage, []).append(item)
    rows = [
        {
            "stage": stage,
            "outputs": sum(item.kind == gc.OUTPUT for item in found),
            "bytes": disk.of(root / item.path for item in found).total,
            "unneeded_bytes": disk.of(root / item.path for item in found if not item.stays).total,
        }
        for stage, found in folders.items()
    ]
    return sorted(rows, key=lambda row: -row["bytes"])


def _by_run(root: Path, items: Iterable[gc.Item], need: gc.Needed) -> list[dict[str, Any]]:
    """Return what every run's folders take, and what no other run needs of it; newest first."""
    folders: dict[str, list[gc.Item]] = {run_id: [] for run_id in runs.ids(root)}
    for item in items:
        for run_id in item.runs:
            folders[run_id].append(item)
    return [
        {
            "run": run_id,
            "kept": need.kept.get(run_id, ""),
            "bytes": disk.of(root / item.path for item in found).total,
            "alone_bytes": disk.of(root / item.path for item in found if item.runs == (run_id,)).total,
        }
        for run_id, found in reversed(folders.items())
    ]


def as_text(state: dict[str, Any]) -> str:
    """Return what was found, or done, as lines."""
    rule = state["kept_because"]
    lines = [f"{state['data_root']}: {kinds_as_text(state['by_kind'])}", ""]
    if state["by_stage"]:
        titles = {"stage": "stage", "outputs": "outputs", "bytes": "space", "unneeded_bytes": "unneeded"}
        lines += [tables.as_text(titles, [_cells(row) for row in state["by_stage"][:SHOWN]]), *_more(state["by_stage"]), ""]
    if state["by_run"]:
        titles = {"run": "run", "bytes": "space", "alone_bytes": "of it alone", "kept": "kept, for it"}
        lines += [tables.as_text(titles, [_cells(row) for row in state["by_run"][:SHOWN]]), *_more(state["by_run"]), ""]
    lines += [f"{row['path']} is being worked on and stays" for row in state["busy"]]
    kept = f"kept: what runs of the last {rule['days']:g} days, the newest {rule['keep_runs']} runs and published datasets lead to"
    count = len(state["goes"])
    if not count:
        return "\n".join([*lines, kept, "nothing to remove; ./run.sh gc --days 0 --keep-runs 1 keeps the newest run alone"])
    if state["removed"]:
        return "\n".join([*lines, kept, f"removed {count} folders, {disk.text(state['frees'])}; a run that asks for them makes them again"])
    kinds = ", ".join(
        f"{sum(row['kind'] == kind for row in state['goes'])} {kind}" for kind in dict.fromkeys(r["kind"] for r in state["goes"])
    )
    return "\n".join([*lines, kept, f"{count} folders ({kinds}), {disk.text(state['frees'])}, can go; --yes removes them"])


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {name: disk.text(value) if name.endswith("bytes") else str(value) for name, value in row.items()}


def _more(rows: list[dict[str, Any]]) -> list[str]:
    return [f"… and {len(rows) - SHOWN} more; --json has all"] if len(rows) > SHOWN else []
