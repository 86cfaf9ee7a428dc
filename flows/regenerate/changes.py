"""What has changed since the last version: rows of the dataset, and the code, environment and parameters of every step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core import manifest
from core.context import CLIPS_MADE, CLIPS_REUSED
from core.graph import Step
from core.store import Store

COMPARED = ("label", "split", "fold", "caption", "bytes", "status")
"""What is compared of a row; ``bytes`` are the source file's."""
READS = "what it reads"
EARLIER = "made before, for an earlier version"
_KEYS = re.compile(r"(stages/[a-z0-9_]+/)[0-9a-f]+")


def recorded(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Return steps as a report keeps them."""
    return [{"label": step.label, "stage": step.stage.name, "output": step.output, "identity": step.identity} for step in steps]


def of_steps(then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the steps whose output is another than the last version's, with why.

    Args:
        then: the last version's steps, as :func:`recorded`.
        now: this version's.

    Returns:
        ``label``, ``stage`` and ``why``: ``code``, ``environment``, ``version``, ``settings.steps: 3 → 4``, ``content of csv``, ``what it
        reads`` or ``new``; steps that are no more have ``no longer needed``.
    """
    earlier, outputs = {step["label"]: step for step in then}, {step["output"] for step in then}
    changed = []
    for step in now:
        if step["output"] not in outputs:
            before = earlier.get(step["label"])
            why = ["new"] if before is None or before["stage"] != step["stage"] else _why(before["identity"], step["identity"])
            changed.append({"label": step["label"], "stage": step["stage"], "why": why})
    gone = set(earlier) - {step["label"] for step in now}
    return changed + [{"label": name, "stage": earlier[name]["stage"], "why": ["no longer needed"]} for name in sorted(gone)]


def _why(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    why = [name for name in ("version", "code", "environment") if then.get(name) != now.get(name)]
    before, after = flat(then["request"]), flat(now["request"])
    reads = False
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if _KEYS.sub(r"\1", json.dumps(old)) == _KEYS.sub(r"\1", json.dumps(new)):
            reads = True
        elif str(new).startswith("sha256:") and str(old).startswith("sha256:"):
            why.append(f"content of {name}")
        else:
            why.append(f"{name}: {_short(old)} → {_short(new)}")
    return why + ([READS] if reads else [])


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted keys; lists stay as they are."""
    found: dict[str, Any] = {}
    for name, item in value.items():
        found |= flat(item, f"{prefix}{name}.") if isinstance(item, Mapping) else {f"{prefix}{name}": item}
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"


def of_rows(root: Path, then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all prepared tables that were added, removed or changed, by the path of their sound.

    Args:
        root: the data root.
        then: the last version's steps; what has gone from the store is passed over.
        now: this version's.
    """
    earlier = {step["label"]: step["output"] for step in then}
    found: dict[str, list[dict[str, Any]]] = {"added": [], "removed": [], "changed": []}
    for step in now:
        before = earlier.get(step["label"], "")
        if step["stage"] != "prepare" or before == step["output"] or not (root / before / manifest.FILE_NAME).is_file():
            continue
        old, new = _rows(root / before), _rows(root / step["output"])
        found["added"] += [{"path": path, **new[path]} for path in sorted(set(new) - set(old))]
        found["removed"] += [{"path": path, **old[path]} for path in sorted(set(old) - set(new))]
        for path in sorted(set(old) & set(new)):
            differs = {name: [old[path][name], new[path][name]] for name in COMPARED if old[path][name] != new[path][name]}
            found["changed"] += [{"path": path, "columns": differs}] if differs else []
    return found


def _rows(folder: Path) -> dict[str, dict[str, str]]:
    rows = {}
    for row in manifest.read(folder).to_dict("records"):
        told = json.loads(row["parameters"])
        rows[str(told["source_path"])] = {name: str(row[name]) for name in COMPARED if name != "bytes"} | {"bytes": told["source_sha256"]}
    return rows


def work(store: Store, steps: Iterable[Step], then: Sequence[Mapping[str, Any]], since: float = 0.0) -> list[dict[str, Any]]:
    """Return what every step cost since the last version: up to date, or clips made and taken over, where its stage counts them.

    Args:
        store: with what was made.
        steps: this version's.
        then: the last version's, as :func:`recorded`.
        since: when the last version was published, as Unix time: what was finished before, for a version before it, costs nothing now.
    """
    outputs, table = {step["output"] for step in then}, []
    for step in steps:
        done = store.done(step.stage.name, step.key)
        usage = done.usage if done else {}
        counted = {
            "made": int(usage[CLIPS_MADE]) if CLIPS_MADE in usage else None,
            "taken_over": int(usage[CLIPS_REUSED]) if CLIPS_REUSED in usage else None, "wall_s": usage.get("wall_s"),
        }  # fmt: skip
        fresh, before = step.output not in outputs, done is not None and done.finished_at < since
        state = {"state": EARLIER} if fresh and before else {"state": "made", **counted} if fresh else {"state": "up to date"}
        table.append({"label": step.label, "stage": step.stage.name, **state})
    return table
