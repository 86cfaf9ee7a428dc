"""What is known of a version beside its clips, in a shape that the next version can be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.graph import FlowPlan, Step
from core.store import Store

MEASURES = ("fad_mel", "fad_clap", "clap_score_label", "near_duplicates_of_gold", "leaked")
"""Of ``measure_synthetic``'s result."""
MEASURING = "measure_synthetic"
CLAP = "clap"
"""Which CLAP measured: distances and cosines of two are no measure of each other."""


def measuring(steps: Sequence[Step], exports: Sequence[str]) -> list[Step]:
    """Return the steps that measure what is exported."""
    return [step for step in steps if step.stage.name == MEASURING and set(step.request.clips) & set(exports)]


def facts_of(plan: FlowPlan, store: Store) -> dict[str, Any]:
    """Return the measures by source, and with a score table the scores by arm."""
    known: dict[str, Any] = {"measures": {}}
    for step in measuring(list(plan.graph), plan.exports):
        done = store.done(step.stage.name, step.key)
        if done:
            own = {name: done.result[name] for name in MEASURES if name in done.result}
            known["measures"][step.label.removeprefix(MEASURING).strip()] = own | {CLAP: step.identity["request"]["checkpoint"]}
    report = next((step for step in plan.graph if step.stage.name == "report"), None)
    done = store.done(report.stage.name, report.key) if report else None
    if done:
        known |= {"metric": done.result["metric"], "accuracy": done.result["accuracy"]}
    return known
