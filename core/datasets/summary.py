"""Counts a dataset and says what it cannot be used for; what ``version.json`` holds beside names and dates."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from core import attribution

FEW = 5
"""Classes with fewer clips are named as a limit."""
NAMED = 10
"""A limit names at most so many classes."""
GOLD = "gold"
_BOUND = re.compile(r"(?<![a-z])nc(?![a-z])|non[- ]?commercial", re.IGNORECASE)
"""How licences say that they exclude commercial use; ``licence`` has the letters, too."""


def describe(table: pd.DataFrame, every: pd.DataFrame, form: str) -> dict[str, Any]:
    """Return counts, durations, scores, licences and known limits of a dataset.

    Args:
        table: the clips it holds, with the columns of :data:`core.attribution.COLUMNS`.
        every: accepted and rejected rows of its sources.
        form: the form it is written in.
    """
    credits = [
        attribution.apart(dict(zip(attribution.COLUMNS, cells, strict=True)))
        for cells in table[list(attribution.COLUMNS)].itertuples(index=False)
    ]
    counts = {name: tally(table[name]) for name in ("split", "label", "origin")}
    return {
        "counts": {"clips": len(table), **counts, "status": tally(every["status"])},
        "duration_s": round(float(table["duration_s"].sum()), 3),
        "sample_rates_hz": tally(table["sample_rate_hz"]),
        "scores": scores(table),
        "licences": dict(sorted(Counter(name for found in credits for name in _licences(found)).items())),
        "known_limits": known_limits(table, credits, form),
    }  # fmt: skip


def tally(cells: pd.Series[Any]) -> dict[str, int]:
    """Return how often every value occurs, sorted by value."""
    return {str(name): int(count) for name, count in sorted(Counter(cells).items(), key=lambda item: str(item[0]))}


def scores(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return count, mean, minimum, median and maximum of every score; scores that are no finite numbers are left out."""
    values: dict[str, list[float]] = {}
    for text in table["scores"]:
        for name, value in json.loads(text).items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                values.setdefault(name, []).append(float(value))
    return {name: _spread(pd.Series(values[name])) for name in sorted(values)}


def _spread(found: pd.Series[float]) -> dict[str, float]:
    measures = {"count": len(found), "mean": found.mean(), "min": found.min(), "median": found.median(), "max": found.max()}
    return {name: round(float(value), 6) for name, value in measures.items()}


def _licences(credits: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the licences a clip stands under, each once; ``unknown`` where none is named."""
    return list(dict.fromkeys(_known(found.get("licence", "")) for found in credits)) or ["unknown"]


def _known(licence: str) -> str:
    return "unknown" if licence in ("", attribution.UNKNOWN) else licence


def known_limits(table: pd.DataFrame, credits: Sequence[Sequence[Mapping[str, str]]], form: str) -> list[str]:
    """Return sentences on what the clips lack; nothing is said that was not counted.

    Args:
        table: the clips.
        credits: the recordings behind every clip.
        form: the form they are written in.
    """
    total = len(table)
    said = [] if total else ["It holds no clips."]
    said += _of_classes(table) + _of_audio(table)
    without = int((table["caption"] == "").sum())
    said += [f"{without} of {total} clips have no caption."] if without else []
    unsplit = int((table["split"] == "").sum())
    said += [f"{unsplit} of {total} clips belong to no split."] if unsplit else []
    absent = [name for name in ("train", "val", "test") if not (table["split"] == name).any()]
    said += [f"There are no clips of the split {' and of '.join(absent)}."] if absent and total else []
    made = int((table["origin"] != GOLD).sum())
    if made:
        said.append(f"{made} of {total} clips are synthetic; what the model learnt from other clips is not attributed.")
    nameless = sum("unknown" in _licences(found) for found in credits)
    said += [f"The licence of {nameless} of {total} clips is not known."] if nameless else []
    bound = sum(any(_BOUND.search(name) for name in _licences(found)) for found in credits)
    said += [f"{bound} of {total} clips come from recordings whose licence excludes commercial use."] if bound else []
    said += ["It is a table only: the audio stays in the data root it was made in."] if form == "csv" else []
    return said


def _of_classes(table: pd.DataFrame) -> list[str]:
    counts = tally(table["label"])
    few = sorted((count, name) for name, count in counts.items() if count < FEW)
    if not few:
        return []
    named = ", ".join(f"{name or 'no label'} ({count})" for count, name in few[:NAMED]) + (", …" if len(few) > NAMED else "")
    return [f"{len(few)} of {len(counts)} classes have fewer than {FEW} clips: {named}."]


def _of_audio(table: pd.DataFrame) -> list[str]:
    said = []
    for column, what, unit in (("sample_rate_hz", "Sample rates", " Hz"), ("channels", "Numbers of channels", "")):
        counts = tally(table[column])
        if len(counts) > 1:
            said.append(f"{what} differ: {', '.join(f'{name}{unit} ({count} clips)' for name, count in counts.items())}.")
    twice = int(table["sha256"][table["sha256"] != ""].duplicated().sum())
    said += [f"{twice} clips have the same bytes as another clip."] if twice else []
    return said
