"""The flows by name, and what the command line needs of each without importing Prefect."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidValueError, nearest

if TYPE_CHECKING:
    from core.graph import FlowPlan
    from core.store import Store

FLOWS = {
    "synthio": "synthetic augmentation of a small labelled set, measured against the gold clips alone",
    "syntone": "clips with known factors, autoencoders that find them, and metrics that say how well",
    "doppelgangers": "an encoder taught by synthetic twins, frozen and probed beside untrained ones",
    "delsa": "a model of sound and text that tells what sounds from where it sounds, trained in simulated rooms",
    "synth_proxy": "presets of a synthesiser, rendered and heard, and encoders that foretell how a preset sounds",
    "regenerate": "keep a published dataset fresh: run what is stale, publish a new version",
}


@dataclass(frozen=True)
class Planned:
    """A flow with its configuration checked and its work keyed, nothing started."""

    flow: str
    config: Any
    plan: FlowPlan
    show: Callable[[dict[str, Any]], str]
    """Turns the report's result into the score table for the terminal."""
    finish: Callable[[Store], str]
    """Does what the flow does after its steps, once more if it was done already; returns what to tell the person."""


def prepare(flow: str, words: Sequence[str], files: Sequence[Path], data_root: Path, cwd: Path, command: str) -> Planned:
    """Resolve a flow's configuration and build its graph.

    Raises:
        InvalidValueError: unknown flow, unknown key, wrong type, missing file; before anything starts.
    """
    if flow not in FLOWS:
        raise InvalidValueError("no such flow or command", where="./run.sh", received=flow, hint=nearest(flow, FLOWS))
    from core import config  # the names alone must be quick: help and completion ask for them
    from core.keys import FileDigests

    module = importlib.import_module(f"flows.{flow}.graph")
    translate = getattr(module, "translate", list)  # a flow may take words of a predecessor
    resolved = config.resolve(module.CONFIG, flow, translate(words), files)
    digests = FileDigests(data_root / "digests.json")
    plan = module.build_graph(resolved, digests, cwd=cwd, command=command)
    digests.save()
    last = getattr(module, "finish", None)
    return Planned(flow, resolved, plan, module.show, lambda store: last(resolved, plan, store) if last else "")
