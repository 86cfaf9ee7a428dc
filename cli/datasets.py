"""Published datasets at the terminal: ``publish``, ``datasets``, ``diff``, ``verify``, ``push`` and ``pull``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from core import config, places, runs, tables
from core.datasets import comparison, exchange, export, listing, verification, versions
from core.datasets.addresses import EXAMPLES
from core.datasets.naming import PUBLISHED
from core.errors import InvalidValueError, SynthloomError

FORMS = sorted(export.FORMS)
FORM = "audiofolder"
KEEP = 3
__all__ = ["EXAMPLES", "FORM", "FORMS", "KEEP", "diff", "listed", "publish", "pull", "push", "verify"]
EVERY_S = 0.5
"""A line about progress at most so often."""


def publish(run_id: str, name: str, form: str = FORM, keep: int = KEEP) -> tuple[dict[str, Any], str]:
    """Freeze what a run made as a version of a dataset; return it as JSON and as text.

    Raises:
        InvalidValueError: no such run, it has not completed, or a name or form that is none.
    """
    root = places.data_root()
    run = runs.load(root, run_id)
    if run.state != "completed":
        hint = f"type its command again, it goes on where it stopped: {run.command}"
        raise InvalidValueError("not completed", where=f"run {run.run_id}", allowed="a completed run", received=run.state, hint=hint)
    settings = runs.folder(root, run.run_id) / runs.CONFIG
    resolved = OmegaConf.to_container(config.load_yaml(settings)) if settings.is_file() else {}
    facts = {"command": run.command, "settings": resolved, "run": run.run_id}
    folder, fresh = versions.publish(root, name, form, run.extra.get("exports", []), keep, facts)
    version = versions.read(folder)
    value = {"name": name, "version": version["version"], "folder": str(folder), "new": fresh, "known_limits": version["known_limits"]}
    said = f"{'published' if fresh else 'published already'}: {name}@{version['version']}, {version['counts']['clips']} clips"
    limits = "".join(f"\n  - {sentence}" for sentence in version["known_limits"])
    return value, f"{said}\n{folder / 'README.md'}" + (f"\nknown limits:{limits}" if limits else "")


def listed() -> tuple[list[dict[str, Any]], str]:
    """Return all published datasets with their versions, as JSON and as text."""
    root = places.data_root()
    found = [_listed(root, name, folder) for name in versions.names(root) for folder in versions.versions(root / PUBLISHED / name)]
    if not found:
        return [], "nothing is published yet; ./run.sh publish last --as NAME"
    titles = {"name": "dataset", "version": "version", "current": "current", "form": "form", "clips": "clips", "created": "made"}
    rows = [{**{key: str(item[key]) for key in titles}, "current": "yes" if item["current"] else ""} for item in found]
    return found, tables.as_text(titles, rows)


def _listed(root: Path, name: str, folder: Path) -> dict[str, Any]:
    there = {"name": name, "version": folder.name, "folder": str(folder), "current": versions.current(folder.parent) == folder}
    try:
        version = versions.read(folder)
    except SynthloomError as error:
        return {**there, "form": "damaged", "clips": 0, "created": "", "parent": "", "error": str(error)}
    return {
        **there,
        "form": version["form"],
        "clips": version["counts"]["clips"],
        "created": version["created"],
        "parent": version["parent"],
    }


def diff(name: str, old: str = "", new: str = "") -> tuple[dict[str, Any], str]:
    """Compare two versions of a dataset, the last two by default; return the difference as JSON and as text."""
    root = places.data_root()
    newest = versions.find(root, name)
    if old:
        pair = [versions.find(root, f"{name}@{old}"), versions.find(root, f"{name}@{new}") if new else newest]
    else:
        others = [folder for folder in versions.versions(newest.parent) if folder != newest]
        if not others:
            raise SynthloomError(
                f"{name} has one version only ({newest.name}): there is nothing to compare it with until something changed"
            )
        pair = [others[-1], newest]
    difference = comparison.diff(*pair)
    return comparison.as_json(difference), comparison.as_text(difference)


def verify(text: str) -> tuple[dict[str, Any], str]:
    """Verify a published dataset, or a version's folder anywhere; return the findings as JSON and as text."""
    folder = places.caller_path(text)
    if "/" not in text and not (folder / listing.LISTING).is_file():
        folder = versions.find(places.data_root(), text)
    if not folder.is_dir():
        raise InvalidValueError("no such folder", where="verify", allowed="NAME, NAME@VERSION or a version's folder", received=text)
    findings = verification.verify(folder)
    value = {"folder": str(folder), "ok": not findings, "findings": [vars(finding) for finding in findings]}
    if not findings:
        return value, f"every file is as it was published: {folder}"
    return value, "\n".join([*(f"{item.path}: {item.what}: {item.detail}" for item in findings), f"{len(findings)} findings in {folder}"])


def push(text: str, address: str, public: bool = False) -> tuple[dict[str, Any], str]:
    """Send a version to another place; return what was done as JSON and as text."""
    done = exchange.push(versions.find(places.data_root(), text), address, progress("sent"), public)
    said = f"{done['name']}@{done['version']} → {done['address']}: {done['sent']} files sent, {done['passed_over']} were there"
    return done, said + (f", {done['removed']} of an older version removed" if done["removed"] else "")


def pull(address: str, name: str = "") -> tuple[dict[str, Any], str]:
    """Fetch a version from another place; return what was done as JSON and as text."""
    done = exchange.pull(places.data_root(), address, name, progress("fetched"))
    said = f"{done['name']}@{done['version']} ← {done['address']}: {done['fetched']} files fetched, {done['passed_over']} were there"
    return done, f"{said}; every digest is right → {done['folder']}\nuse it: ./run.sh synthio dataset=published dataset.name={done['name']}"


def progress(what: str) -> Callable[[int, int], None]:
    """Return what prints how far a transfer is to stderr, now and then, and at the end."""
    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last > EVERY_S:
            last = time.monotonic()
            on_one_line = sys.stderr.isatty()
            end = "\n" if done == total or not on_one_line else ""
            print(("\r" if on_one_line else "") + f"{what} {done} of {total} files", end=end, file=sys.stderr, flush=True)

    return report
