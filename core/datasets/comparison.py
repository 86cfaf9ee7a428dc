"""Compares two versions of a dataset: clips, counts, durations, scores, and what was measured of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from core import tables
from core.datasets import card, contents, summary, versions

_PLACE = ("path", "clip_id")
"""Columns that say where a clip lies and which it is, not what it is."""
LISTED = 20
"""The text names at most so many clips of a kind; the JSON has all."""


@dataclass(frozen=True)
class Difference:
    """What separates two versions; pairs are (old, new)."""

    old: str
    """The older version."""
    new: str
    """The newer version."""
    clips: tuple[int, int]
    """Clips in each."""
    added: tuple[str, ...]
    """Clips that only the new version has, by id."""
    removed: tuple[str, ...]
    """Clips that only the old one has."""
    changed: dict[str, tuple[str, ...]]
    """Clips that both have, with the columns in which they differ."""
    by_label: dict[str, tuple[int, int]]
    """Clips by label, where the numbers differ."""
    by_split: dict[str, tuple[int, int]]
    """Clips by split."""
    by_origin: dict[str, tuple[int, int]]
    """Clips by what made them."""
    duration_s: tuple[float, float]
    """All clips together."""
    scores: dict[str, tuple[float | None, float | None]]
    """Mean of every score; None where a version has no such score."""
    facts: dict[str, tuple[Any, Any]]
    """What was measured of the versions, side by side; names of nested facts are dotted."""

    @property
    def same(self) -> bool:
        """Whether the clips are the same in every column."""
        return not (self.added or self.removed or self.changed)


def diff(old: Path, new: Path) -> Difference:
    """Compare two versions by their folders.

    Raises:
        InvalidValueError: one of them is no version.
    """
    left, right = versions.read(old), versions.read(new)
    before, after = contents.read(old).set_index("clip_id", drop=False), contents.read(new).set_index("clip_id", drop=False)
    labels = _pairs(summary.tally(before["label"]), summary.tally(after["label"]), 0)
    means = [{name: found["mean"] for name, found in summary.scores(table).items()} for table in (before, after)]
    return Difference(
        old=left["version"], new=right["version"], clips=(len(before), len(after)),
        added=tuple(sorted(set(after.index) - set(before.index))), removed=tuple(sorted(set(before.index) - set(after.index))),
        changed=_changed(before, after), by_label={name: pair for name, pair in labels.items() if pair[0] != pair[1]},
        by_split=_pairs(summary.tally(before["split"]), summary.tally(after["split"]), 0),
        by_origin=_pairs(summary.tally(before["origin"]), summary.tally(after["origin"]), 0),
        duration_s=(round(float(before["duration_s"].sum()), 3), round(float(after["duration_s"].sum()), 3)),
        scores=_pairs(means[0], means[1], None),
        facts=_pairs(card.flattened(left["facts"]), card.flattened(right["facts"]), None),
    )  # fmt: skip


def _pairs(old: dict[str, Any], new: dict[str, Any], absent: Any) -> dict[str, tuple[Any, Any]]:
    return {name: (old.get(name, absent), new.get(name, absent)) for name in sorted({*old, *new})}


def _changed(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return the columns in which clips of both versions differ; columns that one version lacks count as empty there."""
    common = sorted(set(before.index) & set(after.index))
    columns = [name for name in dict.fromkeys([*before.columns, *after.columns]) if name not in _PLACE]
    left, right = (table.loc[common].reindex(columns=columns).astype(str).replace("nan", "") for table in (before, after))
    differs = left.to_numpy() != right.to_numpy()
    return {common[row]: tuple(columns[place] for place in differs[row].nonzero()[0]) for row in differs.any(axis=1).nonzero()[0]}


def as_json(difference: Difference) -> dict[str, Any]:
    """Return a difference as JSON."""
    return {**json.loads(json.dumps(asdict(difference))), "same": difference.same}


def as_text(difference: Difference) -> str:
    """Return a difference for a terminal: the clips first, then counts, scores and facts side by side."""
    head = f"{difference.old} → {difference.new}: {len(difference.added)} clips added, {len(difference.removed)} removed, "
    parts = [head + f"{len(difference.changed)} changed"]
    for what, clips in (("added", difference.added), ("removed", difference.removed)):
        parts += [f"{what}: {_few(clips)}"] if clips else []
    if difference.changed:
        parts.append(f"changed: {_few(_with_columns(difference))}")
    rows: list[tuple[str, Any, Any]] = [("clips", *difference.clips), ("duration, s", *difference.duration_s)]
    for what, pairs in (("split", difference.by_split), ("origin", difference.by_origin), ("label", difference.by_label)):
        rows += [(f"{what} {name or '(none)'}", *pair) for name, pair in pairs.items()]
    rows += [(f"mean {name}", *pair) for name, pair in difference.scores.items()]
    rows += [(name, *pair) for name, pair in difference.facts.items()]
    titles = {"what": "", "old": difference.old, "new": difference.new, "change": "change"}
    shown = [{"what": str(name), "old": _cell(old), "new": _cell(new), "change": _change(old, new)} for name, old, new in rows]
    return "\n".join([*parts, tables.as_text(titles, shown)])


def _with_columns(difference: Difference) -> list[str]:
    return [f"{clip} ({', '.join(columns)})" for clip, columns in difference.changed.items()]


def _few(items: Any) -> str:
    listed = list(items)
    return ", ".join(listed[:LISTED]) + (f" and {len(listed) - LISTED} more (--json has all)" if len(listed) > LISTED else "")


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _change(old: Any, new: Any) -> str:
    numbers = [isinstance(value, (int, float)) and not isinstance(value, bool) for value in (old, new)]
    if not all(numbers):
        return "" if old == new else "changed"
    return f"{new - old:+.6g}" if new != old else ""
