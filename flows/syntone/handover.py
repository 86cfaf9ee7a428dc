"""Lays a copy of the grid where a person wants it. The store keeps its own."""

from __future__ import annotations

import shutil
from typing import Any

from core import atomic, places
from core.graph import FlowPlan
from core.store import Store

CARD = "grid.json"


def finish(config: Any, plan: FlowPlan, store: Store) -> str:
    """Copy the grid to ``export_to`` and return what to tell the person; a folder that holds other things is left alone, and said so."""
    if not config.export_to:
        return ""
    source = next(store.root / step.output for step in plan.graph if step.stage.name == "synthesize_grid")
    target = places.caller_path(config.export_to)
    if (target / CARD).is_file() and (target / CARD).read_bytes() == (source / CARD).read_bytes():
        return f"the grid is in {target} already"
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        return f"not exported: {target} holds other files; choose a new folder with export_to=FOLDER"
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh)
    if target.exists():
        target.rmdir()
    atomic.rename_folder(fresh, target)
    return f"grid → {target}"
