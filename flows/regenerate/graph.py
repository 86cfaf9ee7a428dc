"""The work of ``regenerate`` is another flow's work, of which only what is stale runs; afterwards the dataset is published."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import config as configuration
from core.graph import FlowPlan
from core.keys import FileDigests
from core.publish import publish
from core.store import Store
from flows.regenerate.config import Config

CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    return f"regenerate · {config.publish_as} · {config.flow}"


def build_graph(config: Config, digests: FileDigests, cwd: Path, command: str) -> FlowPlan:
    """Return the other flow's work under this flow's name; arguments and errors as there."""
    module = importlib.import_module(f"flows.{config.flow}.graph")
    inner = configuration.resolve(module.CONFIG, config.flow, config.settings)
    # The page belongs to the dataset's own command: a person who wants the same results needs no schedule.
    plan: FlowPlan = module.build_graph(inner, digests, cwd=cwd, command=configuration.as_command(config.flow, inner))
    return replace(plan, title=title(config), name=config.publish_as)


def finish(config: Config, plan: FlowPlan, store: Store) -> str:
    """Publish the dataset and return what to tell the person; nothing changes when the version is there already."""
    target, fresh = publish(store.root, config.publish_as, config.to, plan.exports, config.keep)
    return f"{'published' if fresh else 'published already'}: {target.parent / 'current'} → {target.name}"


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal."""
    return str(result["table"])
