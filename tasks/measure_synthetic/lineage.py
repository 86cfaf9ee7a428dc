"""The leakage proof: every clip that anything named is followed through its parents to its roots, and none is a validation or test clip.

Validation and test clips are looked at here only to be told apart from what was used. Nothing that this stage writes is read by a stage
that captions, generates, filters or trains; the report alone reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from core import keys, manifest
from core.context import Context

KEPT_OUT = ("val", "test")
PAIRS, SIDES = "pairs.parquet", ("preferred", "not_preferred")


@dataclass
class Leak:
    """One reason to doubt a clip."""

    clip_id: str
    """The clip that was used."""
    root: str
    """The root it comes from, itself for a root."""
    evaluation_clip: str
    """The validation or test clip, empty when the doubt is another."""
    how: str
    """``clip_id``, ``split``, ``sha256``, ``near_duplicate`` or ``unknown_clip`` (nothing is proven of a clip nobody has)."""
    detail: str = ""
    """What was found."""


@dataclass
class Lineage:
    """Everything that was named."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Manifest rows by clip_id; the first folder that has a clip wins."""
    paths: dict[str, str] = field(default_factory=dict)
    """clip_ids by path."""
    used: set[str] = field(default_factory=set)
    """Clips that some folder names as gold, synthetic, captioned or paired."""
    folders: set[str] = field(default_factory=set)
    """Folders that were read."""

    def add_table(self, folder: str, context: Context, used: bool) -> None:
        """Read a folder's manifest once."""
        if folder in self.folders:
            return
        self.folders.add(folder)
        for row in manifest.read(context.resolve(folder)).to_dict("records"):
            self.rows.setdefault(row["clip_id"], row)
            self.paths.setdefault(row["path"], row["clip_id"])
            if used:
                self.used.add(row["clip_id"])

    def add_pairs(self, folder: str, context: Context) -> None:
        """Read a folder of preference pairs; its sounds are found in the manifests of the folders that they lie in."""
        pairs = pd.read_parquet(context.resolve(f"{folder}/{PAIRS}"))
        for path in sorted({str(path) for side in SIDES for path in pairs[side]}):
            home = PurePosixPath(path).parent.parent.as_posix()
            if (context.resolve(home) / manifest.FILE_NAME).is_file():
                self.add_table(home, context, used=False)
            self.used.add(self.paths.get(path, f"pair:{path}"))

    def ancestors(self, clip_id: str) -> list[str]:
        """Return the clip and everything it was made from, each once, nearest first."""
        return manifest.ancestors(clip_id, lambda clip: self.rows[clip]["parents"] if clip in self.rows else ())


def gather(gold: str, clips: tuple[str, ...], others: tuple[str, ...], evaluation: str, context: Context) -> Lineage:
    """Read all folders; the prepared dataset's last, since it is where roots are looked up and not what was used.

    Args:
        gold: folder of the gold clips.
        clips: folders of synthetic clips.
        others: folders with a manifest or preference pairs whose clips something was trained on or captioned from.
        evaluation: folder of the prepared dataset.
        context: of the stage.
    """
    lineage = Lineage()
    for folder in (gold, *clips, *others):
        root = context.resolve(folder)
        if (root / manifest.FILE_NAME).is_file() or not (root / PAIRS).is_file():
            lineage.add_table(folder, context, used=True)
    lineage.add_table(evaluation, context, used=False)
    for folder in others:
        if (context.resolve(folder) / PAIRS).is_file():
            lineage.add_pairs(folder, context)
    return lineage


def by_record(lineage: Lineage, evaluation: pd.DataFrame, context: Context) -> tuple[list[Leak], dict[str, int], list[str]]:
    """Compare every used clip and all its ancestors with the validation and test clips, by id, by split and by the file's bytes.

    The bytes are read again: what the manifest says about them would be the word of the stage that is to be checked. A clip whose parent
    is in no folder, such as one retrieved from an outside pool, is a root itself: its own sound is what can be compared.

    Returns:
        the leaks, the counts, and the roots' ids, sorted.
    """
    kept_out = evaluation[evaluation["split"].isin(KEPT_OUT)]
    ids, digests = set(kept_out["clip_id"]), {}
    for row in kept_out.to_dict("records"):
        for digest in _digests(row, context):
            digests[digest] = row["clip_id"]
    leaks, roots, outside, seen = [], set(), set(), {}
    for used in sorted(lineage.used):
        for clip in lineage.ancestors(used):
            row = lineage.rows.get(clip)
            if row is None:
                if clip == used:
                    leaks.append(Leak(used, clip, "", "unknown_clip", "no folder that was named has it"))
                continue
            missing = [parent for parent in row["parents"] if parent not in lineage.rows]
            if missing or not len(row["parents"]):
                roots.add(clip)
            if missing:
                outside.add(clip)
            if clip not in seen:
                seen[clip] = [digests[digest] for digest in _digests(row, context) if digest in digests]
            if clip in ids:
                leaks.append(Leak(used, clip, clip, "clip_id", f"split {row['split']}"))
            elif row["split"] != "train":
                leaks.append(Leak(used, clip, "", "split", f"split {row['split'] or 'none'}, origin {row['origin']}"))
            elif seen[clip]:
                leaks.append(Leak(used, clip, seen[clip][0], "sha256", "the same bytes"))
    counts = {"clips": len(lineage.used), "ancestors": len(seen), "roots": len(roots), "outside": len(outside), "kept_out": len(kept_out)}
    return leaks, counts, sorted(roots)


def _digests(row: dict[str, Any], context: Context) -> list[str]:
    """Return the SHA-256 of the clip's file now, of the file it was decoded from, and as recorded; those that are known."""
    path: Path = context.resolve(row["path"])
    now = keys.file_digest(path) if path.is_file() else ""
    return [digest for digest in (now, json.loads(row["parameters"]).get("source_sha256", ""), row["sha256"]) if digest]
