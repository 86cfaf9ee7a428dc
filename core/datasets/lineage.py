"""Finds the recordings that clips were made from, through however many stages, and what is owed to their authors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from core import attribution, keys, manifest
from core.context import DONE

KEY = "attribution"
"""Where prepare keeps a recording's attribution in the column ``parameters``."""


def credits_of(root: Path, folders: Sequence[str], clip_ids: Sequence[str]) -> pd.DataFrame:
    """Return the attribution of clips: their own, and that of the clips they were made from.

    Args:
        root: the data root.
        folders: dataset folders that hold the clips, relative to the root; those that they were made from are found by their records.
        clip_ids: the clips.

    Returns:
        one row a clip in the order given, columns as in :data:`core.attribution.COLUMNS`, empty where nothing is known.
    """
    parents, own = _gathered(root, folders)
    rows = [attribution.joined(_inherited(clip_id, parents, own)) for clip_id in clip_ids]
    return pd.DataFrame(rows, columns=list(attribution.COLUMNS), dtype=object)


def _gathered(root: Path, folders: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
    """Return parents and own attribution by clip_id, going up the stages for as long as a parent is unknown."""
    parents: dict[str, list[str]] = {}
    own: dict[str, dict[str, str]] = {}
    pending, seen, wanted = list(folders), set(folders), set[str]()
    for number, folder in enumerate(pending):
        if number >= len(folders) and not wanted - parents.keys():
            break
        if (root / folder / manifest.FILE_NAME).is_file():
            for row in manifest.read(root / folder).itertuples():
                clip_id, made_from = str(row.clip_id), [str(parent) for parent in row.parents]  # type: ignore[union-attr]
                wanted.update(made_from)
                parents[clip_id] = made_from
                own[clip_id] = json.loads(str(row.parameters)).get(KEY, {})
        above = [name for name in _read_by(root / folder) if name not in seen]
        seen.update(above)
        pending += above
    return parents, own


def _read_by(folder: Path) -> list[str]:
    """Return the outputs that a finished piece of work read, relative to the data root."""
    try:
        request = json.loads((folder / DONE).read_text())["identity"]["request"]
    except (OSError, ValueError, KeyError):
        return []  # a folder that no engine made has no record
    return [f"stages/{stage}/{key}" for stage, key in keys.dependencies(request)]


def _inherited(clip_id: str, parents: dict[str, list[str]], own: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """Return the attributions of a clip and of all it descends from, nearest first."""
    line = manifest.ancestors(clip_id, lambda clip: parents.get(clip, ()))
    return [one for name in line if own.get(name) for one in recordings(own[name])]


def recordings(found: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the recordings that a clip's own attribution stands for: several where its table is that of a published dataset."""
    counts = {found.get(name, "").count(attribution.BETWEEN) for name in attribution.COLUMNS}
    if len(counts) > 1 or counts == {0}:
        return [dict(found)]  # not what attribution.joined writes
    return [{name: text for name, text in one.items() if text != attribution.UNKNOWN} for one in attribution.apart(found)]
