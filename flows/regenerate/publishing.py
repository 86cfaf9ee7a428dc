"""Decides whether what was made becomes a version, and says why: compares it with the last one, asks the guards, publishes or refuses."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core import config as configuration
from core.contract import to_dict
from core.datasets import comparison, export, versions
from core.datasets.naming import CURRENT, PUBLISHED
from core.errors import InvalidValueError, NotPublishedError
from core.graph import FlowPlan
from core.store import Store
from flows.regenerate import changes, guards, recipe, reports
from flows.regenerate.config import Config
from flows.regenerate.facts import facts_of
from flows.regenerate.guards import Verdict

CANDIDATE = ".candidate"
"""Added to the dataset's name for a version that was refused; it is a published dataset like any other, to look into."""

_said: dict[tuple[str, str], str] = {}
"""What this process said of a version when it published it; the terminal asks once more after the Prefect flow did the work."""


def decide(config: Config, plan: FlowPlan, store: Store) -> str:
    """Publish what the plan's steps made, unless it is published already or a guard refuses it; return what to tell the person.

    Raises:
        NotPublishedError: a guard fails; the candidate and the report stay, ``current`` still points at the last version.
        InvalidValueError: the steps made no dataset of single clips.
    """
    root, name = store.root, config.publish_as
    folder = root / PUBLISHED / name
    last = versions.current(folder)
    version = versions.version_of(plan.exports, config.to)
    if last and last.name == version:
        told = _said.get((str(folder), version), f"published already: {folder / CURRENT} → {version}; nothing has changed since")
        return told
    before = _read(last)
    report = _report(config, plan, store, version, last if before else None)
    table = export.collect(root, plan.exports)
    verdicts = guards.judge(config.guards, before, len(table), report["facts"], _leaks(plan, root))
    report["guards"] = [asdict(verdict) for verdict in verdicts]
    facts = {**report["facts"], "command": report["command"], "settings": to_dict(config)}
    if any(verdict.holds is False for verdict in verdicts):
        raise _refused(config, plan, root, facts, report, verdicts, last)
    target, _ = versions.publish(root, name, config.to, plan.exports, max(2, config.keep), facts)
    _compare(report, last if before else None, target)
    versions.publish(root, name, config.to, plan.exports, config.keep)  # it is there: only what is too old goes
    shutil.rmtree(root / PUBLISHED / f"{name}{CANDIDATE}", ignore_errors=True)
    recipe.keep(config, root)
    written = reports.save(root, name, {**report, "decision": reports.PUBLISHED_NOW})
    _said[str(folder), version] = "\n".join([
        reports.as_text(report), f"published: {folder / CURRENT} → {version}", f"report: {written / reports.PAGE}",
    ])  # fmt: skip
    return _said[str(folder), version]


def _read(last: Path | None) -> dict[str, Any] | None:
    """Return the last version's record; None for the first version, and for one by a synthloom that wrote no such record."""
    try:
        return versions.read(last) if last else None
    except InvalidValueError:
        return None


def _report(config: Config, plan: FlowPlan, store: Store, version: str, last: Path | None) -> dict[str, Any]:
    """Return what is known before the guards have spoken."""
    then = (reports.of_version(store.root, config.publish_as, last.name) or {}).get("steps", []) if last else []
    now = changes.recorded(plan.graph)
    return {
        "schema": 1, "name": config.publish_as, "version": version, "last": last.name if last else "", "flow": config.flow,
        "command": configuration.as_command("regenerate", config), "settings": list(config.settings), "exports": plan.exports,
        "changes": {"steps": changes.of_steps(then, now) if then else [], "rows": changes.of_rows(store.root, then, now)},
        "work": changes.work(store, plan.graph, then), "facts": facts_of(plan, store), "steps": now, "difference": {}, "comparison": "",
    }  # fmt: skip


def _leaks(plan: FlowPlan, root: Path) -> list[str]:
    return guards.leaked(guards.tables(root, plan.exports), guards.tables(root, [step.output for step in plan.graph]))


def _compare(report: dict[str, Any], last: Path | None, target: Path) -> None:
    """Add what separates the new version from the last one to the report."""
    if last:
        found = comparison.diff(last, target)
        report["difference"], report["comparison"] = comparison.as_json(found), comparison.as_text(found)


def _refused(
    config: Config, plan: FlowPlan, root: Path, facts: dict[str, Any], report: dict[str, Any], verdicts: list[Verdict], last: Path | None
) -> NotPublishedError:
    """Keep the candidate, write the report, and return the error that says which guard failed and what can be done."""
    name = config.publish_as
    candidate, _ = versions.publish(root, f"{name}{CANDIDATE}", config.to, plan.exports, 1, facts)
    _compare(report, last if report["last"] else None, candidate)
    written = reports.save(root, name, {**report, "decision": reports.REFUSED, "candidate": str(candidate.relative_to(root))})
    failed = [verdict for verdict in verdicts if verdict.holds is False]
    anyway = " ".join([report["command"], *(verdict.relax for verdict in failed)])
    stays = f"{name} stays at {last.name}" if last else f"there is no version of {name} yet"
    return NotPublishedError("\n".join([
        f"not published: {', '.join(verdict.guard for verdict in failed)} failed; {stays}", reports.as_text(report),
        f"candidate: {candidate}", f"report: {written / reports.PAGE}", f"to publish it all the same: {anyway}",
    ]))  # fmt: skip
