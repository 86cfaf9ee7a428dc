"""Lays copies of a run's results where a person wants them: the clips, their table, the tuned models. The store keeps its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core import atomic, places
from core.datasets import export
from core.datasets.versions import version_of
from core.graph import FlowPlan
from core.store import Store

MARK = ".synthloom"
"""File that says which version a folder holds; only folders that have it are ever replaced."""
WEIGHTS = "model.safetensors"
GOLD = "gold"


def finish(config: Any, plan: FlowPlan, store: Store) -> str:
    """Copy what ``export_to``, ``export_csv`` and ``keep_models_in`` ask for, and return what to tell the person.

    Called again it copies only what has changed. A folder that holds other things is left alone, and said so: the run itself is done.
    """
    said = []
    for kind, text, synthetic in (("audiofolder", config.export_to, True), ("csv", config.export_csv, False)):
        if text:
            said.append(_exported(kind, places.caller_path(text), plan.exports, store.root, synthetic))
    if config.keep_models_in:
        said += _models(plan, config, places.caller_path(config.keep_models_in), store.root)
    return "\n".join(said)


def _exported(kind: str, target: Path, sources: Sequence[str], root: Path, synthetic: bool) -> str:
    """Export the clips, the synthetic ones alone or all, unless the folder holds them already."""
    table, version = export.collect(root, sources), version_of([*sources, f"synthetic={synthetic}"], kind)
    table = table[table["origin"] != GOLD] if synthetic else table
    if (target / MARK).is_file() and (target / MARK).read_text() == version:
        return f"{len(table)} clips are in {target} already"
    foreign = target.is_file() or (target.is_dir() and any(target.iterdir()) and not (target / MARK).is_file())
    if foreign:
        return f"not exported: {target} holds other files; choose a new folder, or ./run.sh export last --to {kind} --output FOLDER"
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    export.export(kind, table, root, fresh)
    (fresh / MARK).write_text(version)
    if target.exists():
        shutil.rmtree(target)
    atomic.rename_folder(fresh, target)
    return f"{len(table)} clips → {target}"


def _models(plan: FlowPlan, config: Any, folder: Path, root: Path) -> list[str]:
    """Copy every tuned model's weights to ``{dataset}_{n}.safetensors``; several models have their step's name added."""
    steps = [step for step in plan.graph if step.stage.name == "align_text_to_audio"]
    said = []
    for step in steps:
        name = config.dataset.name + (f"_{config.sizes[0]}" if len(config.sizes) == 1 else "")
        if len(steps) > 1:
            name += "_" + re.sub(r"[^\w=]+", "_", step.label.removeprefix("align_text_to_audio ")).strip("_")
        source, target = root / step.output / WEIGHTS, folder / f"{name}.safetensors"
        if _is_newer_copy(target, source):
            said.append(f"tuned model is in {target} already")
            continue
        with atomic.replacing(target) as temporary:
            shutil.copyfile(source, temporary)
        said.append(f"tuned model → {target}")
    return said


def _is_newer_copy(target: Path, source: Path) -> bool:
    """Whether a file was copied from another since that was made; digests of large models would take as long as the copy."""
    if not target.is_file():
        return False
    ours, theirs = target.stat(), source.stat()
    return ours.st_size == theirs.st_size and ours.st_mtime >= theirs.st_mtime
