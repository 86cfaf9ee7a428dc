"""Decides whether what was made becomes a version, and says why: compares it with the last one, asks the guards, publishes or refuses."""

from __future__ import annotations

import calendar
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core import config as configuration
from core import locks
from core.contract import to_dict
from core.datasets import comparison, export, listing, versions
from core.datasets.naming import CURRENT, PUBLISHED
from core.errors import InvalidValueError, NotPublishedError
from core.graph import FlowPlan
from core.store import Store
from flows.regenerate import changes, guards, recipe, reports
from flows.regenerate.config import CANDIDATE, Config
from flows.regenerate.facts import facts_of
from flows.regenerate.guards import Verdict

_said: dict[str, tuple[str, str]] = {}
"""The version that this process published of a dataset, and what it said then: the terminal asks once more after the Prefect flow did the
work, and must not publish again what another process has followed up on meanwhile."""
_written: dict[str, str] = {}
"""The folder of the report that this process wrote last of a dataset, relative to the data root."""


def decide(config: Config, plan: FlowPlan, store: Store) -> str:
    """Publish what the plan's steps made, unless it is published already or a guard refuses it; return what to tell the person.

    Raises:
        NotPublishedError: a guard fails; the candidate and the report stay, ``current`` still points at the last version.
        InvalidValueError: the steps made no dataset of single clips.
    """
    folder, version = store.root / PUBLISHED / config.publish_as, versions.version_of(plan.exports, config.to)
    said_of, told = _said.pop(str(folder), ("", ""))
    if said_of == version:
        return told
    _written[str(folder)] = ""
    # Two that regenerate the same dataset decide one after the other, so that the second is held against the first one's version.
    with locks.held(store.root / "locks" / "regenerate" / config.publish_as):
        return _decide(config, plan, store, folder, version)


def written(config: Config, store: Store) -> str:
    """Return the folder of the report that this process wrote when it decided last, relative to the data root; empty without one."""
    return _written.get(str(store.root / PUBLISHED / config.publish_as), "")


def _decide(config: Config, plan: FlowPlan, store: Store, folder: Path, version: str) -> str:
    root, name, last = store.root, config.publish_as, versions.current(folder)
    if last and last.name == version:
        told = f"published already: {folder / CURRENT} → {version}; nothing has changed since"
        return told if reports.of_version(root, name, version) else f"{told}\n{_made_up(config, plan, store, last)}"
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
    versions.remove(root, f"{name}{CANDIDATE}")
    with versions.alone(root, name):
        recipe.keep(config, root)
    page = _saved(root, name, {**report, "decision": reports.PUBLISHED_NOW})
    said = "\n".join([reports.as_text(report), f"published: {folder / CURRENT} → {version}", f"report: {page}"])
    _said[str(folder)] = (version, said)
    return said


def _made_up(config: Config, plan: FlowPlan, store: Store, present: Path) -> str:
    """Write report and recipe of a version that has none: it was published by hand, or whoever published it was killed then and there."""
    root, name = store.root, config.publish_as
    parent = (_read(present) or {}).get("parent") or ""
    before = next((item for item in versions.versions(present.parent) if item.name == parent), None)
    report = {**_report(config, plan, store, present.name, before), "guards": []}
    _compare(report, before, present)
    with versions.alone(root, name):
        recipe.keep(config, root)
    return f"its report was missing: {_saved(root, name, {**report, 'decision': reports.PUBLISHED_NOW})}"


def _saved(root: Path, name: str, report: dict[str, Any]) -> Path:
    """Write a report and return its page."""
    place = reports.save(root, name, report)
    _written[str(root / PUBLISHED / name)] = place.relative_to(root).as_posix()
    return place / reports.PAGE


def _read(last: Path | None) -> dict[str, Any] | None:
    """Return the last version's record; None for the first version, and for one by a synthloom that wrote no such record.

    Raises:
        InvalidValueError: the record is damaged, so that the guards would have nothing to judge by.
    """
    if last is None or not (last / listing.VERSION_FILE).is_file():
        return None
    try:
        return versions.read(last)
    except InvalidValueError as error:
        raise error.with_hint(f"or remove {last} and type the same command again: without a last version nothing is compared") from None


def _report(config: Config, plan: FlowPlan, store: Store, version: str, last: Path | None) -> dict[str, Any]:
    """Return what is known before the guards have spoken."""
    told = (reports.of_version(store.root, config.publish_as, last.name) or {}) if last else {}
    then, now = told.get("steps", []), changes.recorded(plan.graph)
    since = calendar.timegm(time.strptime(told["time"][:15], reports.STAMP)) if told else 0.0
    return {
        "schema": 1, "name": config.publish_as, "version": version, "last": last.name if last else "", "flow": config.flow,
        "command": configuration.as_command("regenerate", config), "settings": list(config.settings), "exports": plan.exports,
        "changes": {"steps": changes.of_steps(then, now) if then else [], "rows": changes.of_rows(store.root, then, now)},
        "work": changes.work(store, plan.graph, then, since), "facts": facts_of(plan, store), "steps": now,
        "difference": {}, "comparison": "",
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
    page = _saved(root, name, {**report, "decision": reports.REFUSED, "candidate": str(candidate.relative_to(root))})
    failed = [verdict for verdict in verdicts if verdict.holds is False]
    anyway = " ".join([report["command"], *(verdict.relax for verdict in failed)])
    stays = f"{name} stays at {last.name}" if last else f"there is no version of {name} yet"
    return NotPublishedError("\n".join([
        f"not published: {', '.join(verdict.guard for verdict in failed)} failed; {stays}", reports.as_text(report),
        f"candidate: {candidate}", f"report: {page}", f"to publish it all the same: {anyway}",
    ]))  # fmt: skip
