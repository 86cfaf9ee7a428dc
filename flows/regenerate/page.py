"""The page of a report: one file without scripts, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; color: #1a1c20; background: #ffffff; }
a { color: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { color: #e6e7ea; background: #16181c; } a { color: #8ab4f8; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent);
  vertical-align: top; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } pre { overflow-x: auto; } .fails { font-weight: 700; }
"""
ROWS = 200
"""A table shows at most so many rows; report.json has all."""
STATES = {True: "holds", False: "fails", None: "nothing to judge by"}


def render(report: dict[str, Any], earlier: Sequence[tuple[str, str, str]]) -> str:
    """Return a report as an HTML page.

    Args:
        report: as :mod:`flows.regenerate.publishing` makes it.
        earlier: time, decision and version of the reports before it, for the page that lists them.
    """
    title = f"{report['name']}: {report['decision']} {report['version']}"
    difference = report["difference"]
    made = f"The last version: {escape(report['last'] or 'none')}. Made by <code>{escape(report['command'])}</code>"
    parts = [
        f"<h1>{escape(title)}</h1>", f"<p>{escape(report['time'])} UTC. {made}</p>",
        _guards(report["guards"]), _changes(report), _work(report["work"]),
        f"<h2>Against the last version</h2><pre>{escape(report['comparison'])}</pre>" if difference else "",
        _earlier(earlier),
    ]  # fmt: skip
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head><body><main>{"".join(parts)}</main></body></html>\n'


def _table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in titles)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows[:ROWS])
    more = f"<p>and {len(rows) - ROWS} more in report.json</p>" if len(rows) > ROWS else ""
    label = escape(caption, quote=True)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table><caption>{label}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}"
    )


def _guards(guards: Sequence[dict[str, Any]]) -> str:
    rows = [(item["guard"], STATES[item["holds"]], item["said"]) for item in guards]
    return "<h2>Guards</h2>" + _table("What a new version must hold", ("guard", "verdict", "figures"), rows)


def _changes(report: dict[str, Any]) -> str:
    if not report["last"]:
        return "<h2>What changed</h2><p>This is the first version.</p>"
    rows = report["changes"]["rows"]
    listed = [("added", item["path"], item["label"]) for item in rows["added"]]
    listed += [("removed", item["path"], item["label"]) for item in rows["removed"]]
    for item in rows["changed"]:
        columns = ", ".join(name if name == "bytes" else f"{name}: {old} → {new}" for name, (old, new) in item["columns"].items())
        listed.append(("changed", item["path"], columns))
    steps = [(item["label"], ", ".join(item["why"])) for item in report["changes"]["steps"]]
    return (
        "<h2>What changed</h2>"
        + (_table("Rows of the dataset", ("", "sound", "label, or what changed"), listed) if listed else "<p>No row of the dataset.</p>")
        + (_table("Steps", ("step", "because of"), steps) if steps else "<p>No step.</p>")
    )


def _work(work: Sequence[dict[str, Any]]) -> str:
    rows = [(item["label"], item["state"], *(_cell(item.get(name)) for name in ("made", "taken_over", "wall_s"))) for item in work]
    return "<h2>What was done</h2>" + _table("Steps", ("step", "", "clips made", "clips taken over", "seconds"), rows)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def _earlier(earlier: Sequence[tuple[str, str, str]]) -> str:
    if not earlier:
        return ""
    items = "".join(f'<li><a href="{escape(at, quote=True)}/index.html">{escape(at)}</a> {escape(what)} {escape(version)}</li>'
                    for at, what, version in earlier)  # fmt: skip
    return f"<h2>Earlier reports</h2><ul>{items}</ul>"
