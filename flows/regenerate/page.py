"""The page of a report: one file without scripts, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.gallery.page import render as rendered

TEMPLATES = Path(__file__).parent / "templates"
ROWS = 200
"""A table shows at most so many rows; report.json has all."""
STATES = {True: "holds", False: "fails", None: "nothing to judge by"}


def render(report: dict[str, Any], earlier: Sequence[tuple[str, str, str]]) -> str:
    """Return a report as an HTML page.

    Args:
        report: as :mod:`flows.regenerate.publishing` makes it.
        earlier: time, decision and version of the reports before it, for the page that lists them.
    """
    return rendered(
        "report.html", (TEMPLATES,), title=f"{report['name']}: {report['decision']} {report['version']}", report=report, earlier=earlier,
        guards=[{**item, "verdict": STATES[item["holds"]]} for item in report["guards"]], changed=_rows(report["changes"]["rows"]),
        steps=[{**item, "why": ", ".join(item["why"])} for item in report["changes"]["steps"]],
        work=[{**item, **{name: _cell(item.get(name)) for name in ("made", "taken_over", "wall_s")}} for item in report["work"]], most=ROWS,
    )  # fmt: skip


def _rows(rows: dict[str, list[dict[str, Any]]]) -> list[dict[str, str]]:
    """Return the dataset's changed rows as they are shown: what became of each, its path, its label or what changed."""
    listed = [{"what": kind, "path": item["path"], "told": item["label"]} for kind in ("added", "removed") for item in rows[kind]]
    for item in rows["changed"]:
        told = ", ".join(name if name == "bytes" else f"{name}: {old} → {new}" for name, (old, new) in item["columns"].items())
        listed.append({"what": "changed", "path": item["path"], "told": told})
    return listed


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
