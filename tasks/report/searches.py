"""What was tried before an arm was trained, and what was chosen on validation clips."""

from __future__ import annotations

import json
from typing import Any

from core.context import Context
from core.gallery import pictures
from core.gallery.page import trusted
from tasks.report.spec import Request

TITLES = {
    "trial": "trial", "chosen": "", "val": "val", "others per gold": "others per gold", "filter": "filter", "weights": "weights",
    "clips": "clips", "ended": "ended early",
}  # fmt: skip
"""Columns that are shown, in this order; ``table.csv`` of the search has more."""


def searches(request: Request, context: Context) -> list[dict[str, Any]]:
    """Return each search as a heading, what was chosen, its trials as a table, and their curves."""
    several = len({(one.num_samples, one.draw) for one in request.searches}) > 1
    found = []
    for one in request.searches:
        folder = context.resolve(one.path)
        rows, best, looks = (
            json.loads((folder / name).read_text(encoding="utf-8")) for name in ("table.json", "best.json", "curves.json")
        )  # fmt: skip
        row = next(row for row in rows if row["chosen"])
        where = f", n = {one.num_samples}, draw {one.draw}" if several else ""
        chosen = f"trial {best['trial']}: {row['others per gold']} others per gold, filter {row['filter']}, weights {row['weights']}; "
        chosen += f"{100 * best['val_score']:.1f} % on validation against {100 * best['untuned_val_score']:.1f} % without the search"
        found.append(
            {"title": one.arm + where, "chosen": chosen, "titles": TITLES, "rows": rows,
             "curves": trusted(pictures.curves(_lines(looks, best["trial"]), "step", "validation"))}
        )  # fmt: skip
    return found


def _lines(looks: dict[str, list[list[float]]], chosen: int) -> dict[str, list[tuple[float, float]]]:
    """Return the curves by what they are called; all trials but the chosen and the first have one name and colour."""
    names = {"0": "trial 0, without a search", str(chosen): f"trial {chosen}, chosen"}
    others, found = 0, {}
    for trial, points in looks.items():
        if points:
            others += trial not in names
            name = names.get(trial, "other trials" if others == 1 else f"other trials#{others}")
            found[name] = [(step, value) for step, value in points]
    return found
