"""Writes the index of all runs and the runs' own pages, each by one rename, so that no reader ever sees half of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core import atomic, locks, redact, runs
from core.gallery.page import render
from core.run_pages import facts

INDEX = "runs/index.html"
"""The index, relative to the data root."""
MEASURED = "bench/index.html"
"""The page of the benchmarks (``benchmarks/page.py``), where they were run."""
TEMPLATES = Path(__file__).parent / "templates"


def write(root: Path, anew: bool = False) -> Path:
    """Write the index of all runs, and the page of every run that has none or whose record is newer (``anew``: of every run).

    A damaged record is left out and named on the index: one bad file does not hide all other runs. Returns the index's path. Of several
    at once each waits for the one before, so that the last one has read the newest records.
    """
    with locks.held(root / "locks" / "pages"):
        return _write(root, anew)


def _write(root: Path, anew: bool) -> Path:
    rows, damaged = [], []
    for run_id in reversed(runs.ids(root)):
        try:
            run = runs.load(root, run_id)
            row = facts.row(root, run)
            if anew or _is_old(root, run):
                _write_run(root, run, row)
            rows.append(row)
        except (OSError, ValueError, TypeError, KeyError):  # ValueError: also JSON that ends in the middle
            damaged.append(run_id)
    choices = {name: sorted({row[name] for row in rows}) for name in ("flow", "dataset", "state")}
    text = render(
        "runs.html", (TEMPLATES,), title="All runs", headlines=[], rows=rows, damaged=damaged, choices=choices,
        measured=(root / MEASURED).is_file(),
    )  # fmt: skip
    atomic.write_text(root / INDEX, text)
    return root / INDEX


def _is_old(root: Path, run: runs.Run) -> bool:
    """Whether a run's page is to be written: it is missing, older than the record, or of a run that had not ended."""
    folder = runs.folder(root, run.run_id)
    try:
        written = (folder / "index.html").stat().st_mtime_ns
    except OSError:
        return True
    return run.state == "running" or written < (folder / runs.RECORD).stat().st_mtime_ns


def _write_run(root: Path, run: runs.Run, row: dict[str, Any]) -> None:
    folder = runs.folder(root, run.run_id)
    settings = folder / runs.CONFIG
    config = settings.read_text(encoding="utf-8") if settings.is_file() else json.dumps(run.extra, indent=1)
    text = render(
        "run.html", (TEMPLATES,), title=run.title, headlines=[row["headline"]] if row["headline"] else [], run=row,
        steps=facts.steps(root, run), peak=f"{run.peak_memory_mb:,.0f}", command=row["command"],
        config=redact.redactor()(config),
    )  # fmt: skip
    atomic.write_text(folder / "index.html", text)
