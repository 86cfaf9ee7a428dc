"""The work of ``regenerate`` is what another flow's published folders need, of which only what is stale runs; then it is published."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import config as configuration
from core.errors import InvalidValueError
from core.graph import FlowPlan
from core.keys import FileDigests
from core.store import Store
from flows.regenerate import recipe, reports
from flows.regenerate.config import Config
from flows.regenerate.facts import measuring
from flows.regenerate.publishing import decide, written

CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    return f"regenerate · {config.publish_as} · {config.flow}"


def translate(words: Sequence[str]) -> list[str]:
    """Put a published dataset's recipe in the place of ``dataset=NAME``."""
    return recipe.translate(words)


def build_graph(config: Config, digests: FileDigests, cwd: Path, command: str) -> FlowPlan:
    """Return the part of the other flow's work that its clip folders and their measures need; with ``scores`` all of it.

    Raises:
        InvalidValueError: as the other flow, and where it makes no clip folders.
    """
    module = importlib.import_module(f"flows.{config.flow}.graph")
    words = getattr(module, "translate", list)(config.settings)
    inner = configuration.resolve(module.CONFIG, config.flow, words)
    # The page belongs to the dataset's own command: a person who wants the same results needs no schedule.
    plan: FlowPlan = module.build_graph(inner, digests, cwd=cwd, command=configuration.as_command(config.flow, inner))
    if not plan.exports:
        hint = "choose settings with a source of clips"
        raise InvalidValueError("makes no folders of clips", where="regenerate.flow", allowed="synthio, …", received=config.flow, hint=hint)
    plan = replace(plan, title=title(config), name=config.publish_as)
    if config.scores:
        return plan
    needed = [*plan.exports, *(step.output for step in measuring(list(plan.graph), plan.exports))]
    return replace(plan, graph=plan.graph.leading_to(needed), report=reports.folder(config.publish_as))


def finish(config: Config, plan: FlowPlan, store: Store) -> str:
    """Publish what was made unless a guard refuses it, and return what to tell the person; errors as :func:`decide`."""
    return decide(config, plan, store)


def page_of(config: Config, store: Store) -> str:
    """Return the folder of the report that :func:`finish` wrote last, relative to the data root; empty where nothing had changed."""
    return written(config, store)


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal; only with ``scores``."""
    return str(result["table"])
