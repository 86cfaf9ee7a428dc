"""Finds earlier outputs that a step may take clips over from: finished ones of the same stage that differ in their tables alone.

The child decides clip by clip (:mod:`core.reuse`); here only outputs are named.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from core.context import DONE
from core.graph import Step
from core.keys import STAGE_PATH
from core.store import Store

MOST = 16
"""Outputs that are named at most, the newest first; a study of several draws has one of each stage for each draw."""


def find(store: Store, step: Step) -> list[str]:
    """Return the outputs, relative to the data root, that ``step`` may take clips over from; none where its stage takes none over."""
    if not step.stage.row_inputs:
        return []
    wanted, found = comparable(step.identity, step.stage.row_inputs), []
    for record in (store.root / "stages" / step.stage.name).glob(f"*/{DONE}"):
        key = record.parent.name
        # What was set aside or is half done has a longer name.
        if key == step.key or not STAGE_PATH.fullmatch(f"stages/{step.stage.name}/{key}"):
            continue
        done = store.done(step.stage.name, key)
        if done and comparable(done.identity, step.stage.row_inputs) == wanted:
            found.append(done)
    found.sort(key=lambda done: (done.finished_at, done.key), reverse=True)
    return [done.output for done in found[:MOST]]


def comparable(identity: Mapping[str, Any], row_inputs: Sequence[str]) -> dict[str, Any]:
    """Return what must be equal of two identities: stage, version, code, environment, and the request but for its tables and shards."""
    kept = copy.deepcopy(dict(identity))
    for dotted in (*row_inputs, "shards"):
        *parents, name = dotted.split(".")
        place = kept.get("request", {})
        for parent in parents:
            place = place.get(parent, {})
        place.pop(name, None)
    return kept
