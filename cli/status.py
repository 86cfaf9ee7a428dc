"""``status``: what runs, what ran, what it cost, which slots are taken, how full the disk is."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from cli import cluster, gc, pages, server, services, worker
from core import leases, places, runs, usage
from core.store import Store

SHOWN = 10
DISK_LIMIT_S = 2.0
"""How long a person waits for the disk to be counted."""


def collect() -> dict[str, Any]:
    """Return the state of this data root and host as JSON-ready values."""
    root = places.data_root()
    found, (used, all_of_it) = server.find(), gc.by_kind(root, DISK_LIMIT_S)
    shown = [runs.load(root, run_id) for run_id in runs.ids(root)[-SHOWN:]]
    return {
        "server": found.ui_url if found else None,
        "data_root": str(root),
        "disk_free_gb": round(shutil.disk_usage(root).free / 1e9, 1),
        "disk_used": used,
        "disk_counted": all_of_it,
        "services": [name for name in (pages.NAME, worker.NAME, cluster.SCHEDULER) if services.running(name)],
        "slots_taken": taken_slots(),
        "runs": [
            {
                "run_id": run.run_id, "title": run.title, "state": runs.state_now(run), "wall_s": run.wall_s,
                "peak_memory_mb": run.peak_memory_mb, "report": str(root / run.report / "index.html"), "error": run.error,
            }
            for run in shown
        ],
    }  # fmt: skip


def taken_slots() -> dict[str, int]:
    """Return how many lease units somebody on this host holds, by device: cores of the CPU, 64ths of a memory."""
    return dict(Counter(name.rsplit("-", 1)[0] for name in leases.taken()))


def costs(root: Path, run: runs.Run) -> list[dict[str, Any]]:
    """Return what every finished step of a run cost, and the totals; a step that an earlier run did is counted too."""
    store = Store(root)
    done = []
    for step in run.steps:
        _, stage, key = step["output"].split("/")
        record = store.done(stage, key)
        if record:
            done.append((step["label"], record.usage))
    return usage.rows(done)


def costs_as_text(run: runs.Run, rows: list[dict[str, Any]]) -> str:
    """Return a run's costs as a table."""
    if not rows:
        return f"{run.run_id}  {run.state}  {run.title}: no step has finished"
    width = max(len(row["step"]) for row in rows)
    titles = [title for title in rows[0] if title != "step"]
    lines = [f"{run.run_id}  {run.state}  {run.title}", f"{'step':<{width}}  " + "  ".join(f"{title:>11}" for title in titles)]
    lines += [f"{row['step']:<{width}}  " + "  ".join(f"{row[title]:>11,.1f}" for title in titles) for row in rows]
    return "\n".join(lines)


def as_text(state: dict[str, Any]) -> str:
    """Return the state as lines."""
    lines = [
        f"server     {state['server'] or 'none; ./run.sh up starts one'}",
        f"beside it  {', '.join(state['services']) or 'nothing'}",
        f"data root  {state['data_root']}, {state['disk_free_gb']} GB free",
        f"disk       {'' if state['disk_counted'] else 'at least '}{gc.kinds_as_text(state['disk_used'])}; ./run.sh gc says what can go",
        f"slots      {_slots_as_text(state['slots_taken'])}",
        "runs       " + ("newest last" if state["runs"] else "none yet; start with ./run.sh"),
    ]
    for run in state["runs"]:
        wall = f"{run['wall_s'] / 60:.1f} min" if run["wall_s"] else "-"
        lines.append(f"  {run['run_id']}  {run['state']:<9}  {wall:>9}  {run['title']}")
        lines += [f"      {run['error'].splitlines()[0]}"] if run["error"] else []
        lines += [f"      {run['report']}"] if run["state"] == "completed" else []
    return "\n".join(lines)


def _slots_as_text(taken: dict[str, int]) -> str:
    cores, rest = taken.get("cpu", 0), {name: count for name, count in taken.items() if name not in ("cpu", "memory")}
    parts = [f"{cores} CPU cores"] if cores else []
    parts += [f"{count} of 64 parts of {name}" for name, count in rest.items()]
    return ", ".join(parts) + " taken" if parts else "all free"
