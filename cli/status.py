"""``status``: what runs, what ran, what it cost, which slots are taken, how full the disk is."""

from __future__ import annotations

import fcntl
import os
import shutil
from typing import Any

from cli import runs, server, settings
from core import leases

SHOWN = 10


def collect() -> dict[str, Any]:
    """Return the state of this data root and host as JSON-ready values."""
    root = settings.data_root()
    found = server.find()
    shown = [runs.load(root, run_id) for run_id in runs.ids(root)[-SHOWN:]]
    return {
        "server": found.ui_url if found else None,
        "data_root": str(root),
        "disk_free_gb": round(shutil.disk_usage(root).free / 1e9, 1),
        "slots_taken": taken_slots(),
        "runs": [
            {
                "run_id": run.run_id, "title": run.title, "state": _state(run), "wall_s": run.wall_s, "peak_memory_mb": run.peak_memory_mb,
                "report": str(root / run.report / "index.html"), "error": run.error,
            }
            for run in shown
        ],
    }  # fmt: skip


def _state(run: runs.Run) -> str:
    """A run that says it is running while its process is gone was killed."""
    pid = run.extra.get("pid")
    if run.state == "running" and pid:
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return "killed"
        except PermissionError:
            pass
    return run.state


def taken_slots() -> list[str]:
    """Return the device slots somebody on this host holds, by trying their locks."""
    taken = []
    for path in sorted(leases.default_folder().glob("*.slot")):
        with path.open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                taken.append(path.stem)
    return taken


def as_text(state: dict[str, Any]) -> str:
    """Return the state as lines."""
    lines = [
        f"server     {state['server'] or 'none; ./run.sh up starts one'}",
        f"data root  {state['data_root']}, {state['disk_free_gb']} GB free",
        f"slots      {', '.join(state['slots_taken']) + ' taken' if state['slots_taken'] else 'all free'}",
        "runs       " + ("newest last" if state["runs"] else "none yet; start with ./run.sh"),
    ]
    for run in state["runs"]:
        wall = f"{run['wall_s'] / 60:.1f} min" if run["wall_s"] else "-"
        lines.append(f"  {run['run_id']}  {run['state']:<9}  {wall:>9}  {run['title']}")
        lines += [f"      {run['error'].splitlines()[0]}"] if run["error"] else []
        lines += [f"      {run['report']}"] if run["state"] == "completed" else []
    return "\n".join(lines)
