"""What a person sees of a search: one progress over all of its trials, and no metrics, which are of one trial each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.context import Context


def of_trial(context: Context, place: int, trials: int, unit: str) -> Context:
    """Return the context of one trial.

    Args:
        context: the search's.
        place: trials before this one.
        trials: of the search, or of this child.
        unit: what the progress counts.
    """

    def emit(kind: str, values: dict[str, Any]) -> None:
        if kind == "progress":
            total = values["total"]
            context.emit("progress", {"done": place * total + values["done"], "total": trials * total, "unit": unit})
        elif kind != "metric":
            context.emit(kind, values)

    return replace(context, emit=emit)
