"""What there is to tell of runs: in a row of the index, and step by step on a run's own page."""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from pathlib import Path
from typing import Any

from core import redact, runs
from core.store import Store

LOG_LINES = 40
"""Last lines of a step's log that its run's page shows."""
FINISHED = ("completed", "failed", "cancelled", "killed")


def row(root: Path, run: runs.Run) -> dict[str, Any]:
    """Return a run's row of the index, addresses relative to ``runs/``; one whose page was removed has no address of it."""
    state = runs.state_now(run)
    page = f"{page_of(run)}/index.html" if page_of(run) else ""
    return {
        "run_id": run.run_id, "flow": run.flow, "dataset": dataset(run), "title": run.title, "state": state,
        "command": redact.redactor()(run.command),
        "headline": headline(root, run) if state == "completed" else first_line(run.error), "started_at": run.started_at,
        "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.started_at)), "took": took(run.wall_s), "wall_s": run.wall_s,
        "devices": ", ".join(run.extra.get("devices", [])), "page": f"../{page}" if (root / page).is_file() else "", "ui_url": run.ui_url,
    }  # fmt: skip


def dataset(run: runs.Run) -> str:
    """Return the name of the dataset that a run was about; in older records it stands in the run's id only."""
    return str(run.extra.get("dataset") or run.run_id.split("-", 2)[-1].removeprefix(f"{run.flow}-"))


def page_of(run: runs.Run) -> str:
    """Return the folder of a run's own page, where its flow says so another than that of the newest such run; relative to the data root."""
    return str(run.extra.get("page", run.report))


def headline(root: Path, run: runs.Run) -> str:
    """Return the finding of a run's report in its own words, score and interval included; empty where there is none."""
    if not page_of(run):
        return "nothing had changed"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return str(json.loads((root / page_of(run) / "result.json").read_text(encoding="utf-8")).get("headline", ""))
    return ""


def first_line(text: str) -> str:
    """Return the first line of a text without its secrets."""
    return str(redact.redactor()(text.strip().splitlines()[0])) if text.strip() else ""


def took(seconds: float | None) -> str:
    """Return a duration as a person says it."""
    if seconds is None:
        return "–"
    minutes = seconds / 60
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def steps(root: Path, run: runs.Run) -> list[dict[str, Any]]:
    """Return a run's steps in order, each with its state, its cost and the end of its last log."""
    store, made = Store(root), []
    for step in run.steps:
        _, stage, key = step["output"].split("/")
        done = store.done(stage, key)
        usage = done.usage if done else {}
        missing = "removed since" if run.state == "completed" else "not done"
        made.append({
            "step": step["label"], "output": step["output"], "state": "done" if done else missing,
            "wall": f"{usage['wall_s']:.1f}" if usage else "–", "cpu": f"{usage['cpu_s']:.1f}" if usage else "–",
            "memory": f"{usage['peak_memory_mb']:.0f}" if usage else "–", "log": log_tail(root, stage, key),
        })  # fmt: skip
    return made


def log_tail(root: Path, stage: str, key: str) -> str:
    """Return the end of the log of the last attempt at a step, without secrets; empty where nothing was said."""
    logs = sorted((root / "attempts" / stage / key).glob("*/output.log"))
    if not logs:
        return ""
    with logs[-1].open(encoding="utf-8", errors="replace") as handle:
        return str(redact.redactor()("".join(deque(handle, LOG_LINES)))).strip()
