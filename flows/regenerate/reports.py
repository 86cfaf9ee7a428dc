"""The reports beside a published dataset: ``published/<name>/reports/<time>/report.json`` and ``index.html``, one for every decision."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from core import atomic
from core.datasets.naming import PUBLISHED
from flows.regenerate import page
from flows.regenerate.changes import READS

FOLDER, FILE, PAGE = "reports", "report.json", "index.html"
SUMMARY, HEADLINE = "scores.md", "result.json"
"""What Prefect shows of the newest decision, and what the index of all runs says of each."""
STAMP = "%Y%m%d-%H%M%S"
"""How a report's folder is called, UTC; a second one within a second has a number behind it."""
PUBLISHED_NOW, REFUSED = "published", "refused"
NAMED = 10
"""The text names at most so many rows of a kind; the report has all."""


def folder(name: str) -> str:
    """Return where a dataset's reports are, relative to the data root; the newest page lies there itself."""
    return f"{PUBLISHED}/{name}/{FOLDER}"


def save(root: Path, name: str, report: dict[str, Any]) -> Path:
    """Write a report, its page and the list of all; return its folder."""
    parent = root / folder(name)
    stamp = time.strftime(STAMP, time.gmtime())
    for number in range(1, 10_000):
        target = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            target.mkdir(parents=True)
        except FileExistsError:
            continue  # a second decision within this second
        break
    report = {**report, "time": target.name}
    atomic.write_json(target / FILE, report)
    atomic.write_text(target / PAGE, page.render(report, []))
    earlier = [(item["time"], item["decision"], item["version"]) for item in every(root, name) if item["time"] != target.name]
    atomic.write_text(parent / PAGE, page.render(report, earlier))
    atomic.write_text(parent / SUMMARY, f"```\n{as_text(report)}\n```\n")
    rows = {kind: len(found) for kind, found in report["changes"]["rows"].items() if found}
    told = ", ".join(f"{count} rows {kind}" for kind, count in rows.items()) or "no row changed"
    told = told if report["last"] else "the first version"
    for place in (target, parent):
        atomic.write_json(place / HEADLINE, {"headline": f"{report['decision']} {report['version']}: {told}"})
    return target


def every(root: Path, name: str) -> list[dict[str, Any]]:
    """Return all reports of a dataset, the newest first; damaged ones are passed over."""
    found = []
    for path in sorted((root / folder(name)).glob(f"*/{FILE}"), reverse=True):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return found


def of_version(root: Path, name: str, version: str) -> dict[str, Any] | None:
    """Return the newest report that published a version, if there is one."""
    return next((item for item in every(root, name) if item["version"] == version and item["decision"] == PUBLISHED_NOW), None)


def as_text(report: dict[str, Any]) -> str:
    """Return a report for the terminal: what changed, what was made and taken over, and every guard."""
    lines = ["what changed"]
    lines += [f"  {line}" for line in changed(report)] or ["  nothing that is known"]
    lines += ["what was done"]
    width = max([len(item["label"]) for item in report["work"]], default=0)
    lines += [f"  {item['label']:<{width}}  {done(item)}" for item in report["work"]]
    lines += ["guards"]
    lines += [f"  {sign(item['holds'])} {item['guard']}: {item['said']}" for item in report["guards"]]
    return "\n".join(lines)


def changed(report: dict[str, Any]) -> list[str]:
    """Return what changed since the last version as sentences."""
    if not report["last"]:
        return ["this is the first version"]
    said = [f"{item['label']}: {', '.join(item['why'])}" for item in report["changes"]["steps"] if item["why"] != [READS]]
    rows = report["changes"]["rows"]
    for kind in ("added", "removed"):
        said += [f"rows {kind}: {len(rows[kind])} ({_few([item['path'] for item in rows[kind]])})"] if rows[kind] else []
    if rows["changed"]:
        named = [f"{item['path']}: {', '.join(item['columns'])}" for item in rows["changed"]]
        said.append(f"rows changed: {len(named)} ({_few(named)})")
    return said


def _few(items: list[str]) -> str:
    return "; ".join(items[:NAMED]) + (f"; and {len(items) - NAMED} more" if len(items) > NAMED else "")


def done(item: dict[str, Any]) -> str:
    """Return what became of one step."""
    if item["state"] != "made":
        return str(item["state"])
    seconds = f" ({item['wall_s']:.0f} s)" if item.get("wall_s") is not None else ""
    if item.get("taken_over") is None:
        return f"made as a whole{seconds}"
    return f"{item['made']} clips made, {item['taken_over']} taken over{seconds}"


def sign(holds: bool | None) -> str:
    """Return a guard's verdict as one sign."""
    return "–" if holds is None else "✓" if holds else "✗"
