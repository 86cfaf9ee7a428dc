"""Which clip is heard through which RIR: the scene table that captions, precomputed sound and evaluation grids share.

One row is one scene: (clip, caption of the clip, RIR). ``source_id`` is the clip's, however many captions it has; DISSE takes a caption's
id for it, so that 5 of its 96 sources are clips that occur twice.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core import manifest
from core.errors import InvalidValueError
from tasks.spatial import words
from tasks.spatial.spoken import spoken
from tasks.spatial.words import DISSE, Wording

LABELS = ("azimuth_deg", "elevation_deg", "source_distance_m", "area_m2", "fullband_T30_ms")
"""Catalogue columns that every scene carries."""
FURTHER = ("t30_nominal_ms", "t30_measured_ms", "edt_ms", "c50_db", "drr_db", "alpha")
"""Catalogue columns that a scene carries where the catalogue has them."""
SOURCE_NAMES = ("clip_id", "source_id", "caption_id", "audiocap_id")
SPACE_NAMES = ("spatial_id", "space_id", "rir_path")


@dataclass(frozen=True)
class Choice:
    """Which pairs are made."""

    pairing: str = "grid"
    """``grid``: every clip with every RIR; ``draw``: ``per_clip`` RIRs for each clip."""
    per_clip: int = 2
    """RIRs a clip, for ``draw``."""
    split: str = ""
    """Only clips of this split; empty for all."""
    rir_split: str = ""
    """RIRs of this split for all clips; empty: a clip meets RIRs of its own split."""
    captions: str = "first"
    """``first`` caption of a clip, or ``all``."""
    seed: int = 0
    """Of the draw."""


def listed(path: Path, names: Sequence[str]) -> list[str]:
    """Return the ids that a list names: one a line, or a column of a CSV with one of the given names; ids may occur twice.

    Raises:
        InvalidValueError: the list is empty.
    """
    with path.open(newline="", encoding="utf-8-sig") as handle:
        rows = [row for row in csv.reader(handle) if any(cell.strip() for cell in row)]
    column = next((rows[0].index(name) for name in names if rows and name in rows[0]), -1)
    found = [row[max(column, 0)].strip() for row in rows[int(column >= 0) :]]
    if not found:
        raise InvalidValueError("an empty list", where=str(path), allowed=f"one id a line, or a CSV with a column of {names}", received=[])
    return found


def sources(clips: pd.DataFrame, captions: str = "first") -> pd.DataFrame:
    """Return the captioned sources of a manifest: columns clip_id, caption_id, source_caption, path, split; sorted by clip.

    A clip's captions are those in its parameters (``source_captions``, a list of {caption_id, caption}), else its own caption, else its
    label in words.
    """
    rows = []
    for clip in manifest.accepted(clips).sort_values("clip_id").itertuples():
        known = json.loads(str(clip.parameters)).get("source_captions") or [
            {"caption_id": f"{clip.clip_id}-0", "caption": spoken(str(clip.label), str(clip.caption))}
        ]
        for item in known if captions == "all" else known[:1]:
            rows.append((str(clip.clip_id), str(item["caption_id"]), str(item["caption"]), str(clip.path), str(clip.split)))
    return pd.DataFrame(rows, columns=["clip_id", "caption_id", "source_caption", "path", "split"])


def table(
    clips: pd.DataFrame, rirs: pd.DataFrame, choice: Choice, wanted_sources: Sequence[str] = (), wanted_spaces: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the scenes, source by source, RIRs in the order of their paths.

    Args:
        clips: a manifest.
        rirs: the catalogue's table.
        choice: which pairs.
        wanted_sources: clip or caption ids in the order wanted; none for all clips. A caption's id brings that caption.
        wanted_spaces: ids or paths of RIRs; none for all.

    Raises:
        InvalidValueError: an id that nobody has, a split without RIRs, or no scene at all.
    """
    items = sources(clips, "all" if wanted_sources else choice.captions)
    items = _selected(items, wanted_sources) if wanted_sources else items
    items = items[items["split"] == choice.split] if choice.split else items
    spaces = rirs.sort_values("rir_path").reset_index(drop=True)
    spaces = _chosen(spaces, wanted_spaces) if wanted_spaces else spaces
    rows: list[dict[str, Any]] = []
    by_split = {name: spaces[spaces["split"] == name].to_dict("records") for name in set(spaces["split"])}
    for item in items.to_dict("records"):
        split = choice.rir_split or item["split"]
        known = by_split.get(split, [])
        if not known:
            raise InvalidValueError("no RIR of a clip's split", where="catalogue", allowed=sorted(by_split), received=split)
        for place in _places(item, len(known), choice):
            rows.append(_scene(item, known[place]))
    if not rows:
        raise InvalidValueError("no scene", where="scenes", allowed="accepted clips of the split", received=choice.split or "all splits")
    return pd.DataFrame(rows)


def _places(item: dict[str, Any], count: int, choice: Choice) -> Sequence[int]:
    if choice.pairing == "grid":
        return range(count)
    if choice.per_clip > count:
        raise InvalidValueError("more RIRs a clip than there are", where="per_clip", allowed=f"at most {count}", received=choice.per_clip)
    digest = hashlib.sha256(f"{choice.seed}/{item['clip_id']}/{item['caption_id']}".encode()).digest()
    drawn = np.random.default_rng(int.from_bytes(digest[:8], "big")).choice(count, choice.per_clip, replace=False)
    return sorted(int(place) for place in drawn)


def _scene(item: dict[str, Any], rir: dict[str, Any]) -> dict[str, Any]:
    named = str(rir.get("descriptor_id") or words.descriptor_id(words.describe(rir)))
    return {
        "scene_id": manifest.clip_id("scene", item["clip_id"], item["caption_id"], rir["spatial_id"]), "source_id": item["clip_id"],
        "caption_id": item["caption_id"], "spatial_id": str(rir["spatial_id"]), "room_id": str(rir.get("room_id", "")),
        "descriptor_id": named, "split": item["split"], "clip_path": item["path"], "rir_path": str(rir["rir_path"]),
        "source_caption": item["source_caption"], **{name: float(words.value(rir, name)) for name in LABELS},
        **{name: float(rir[name]) for name in FURTHER if name in rir},
    }  # fmt: skip


def _selected(items: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """Return the sources with some ids, in the order of the ids; a clip's id brings its first caption."""
    by_caption = {row["caption_id"]: row for row in items.to_dict("records")}
    by_clip = {row["clip_id"]: row for row in items.iloc[::-1].to_dict("records")}
    unknown = [name for name in wanted if name not in by_caption and name not in by_clip]
    if unknown:
        raise InvalidValueError("no such clips", where="sources", allowed="clip_ids or caption_ids of the manifest", received=unknown[:5])
    return pd.DataFrame([by_caption.get(name) or by_clip[name] for name in wanted], columns=items.columns)


def _chosen(spaces: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    names = set(wanted)
    stems = {Path(name).stem for name in names}  # DISSE's id of a RIR is its file's name
    kept = spaces["spatial_id"].isin(list(names)) | spaces["rir_path"].map(lambda path: path in names or Path(path).stem in stems)
    if int(kept.sum()) < len(names):
        raise InvalidValueError("no such RIRs", where="spaces", allowed=f"{len(names)} RIRs of the catalogue", received=int(kept.sum()))
    return spaces[kept].reset_index(drop=True)


def wording(
    scenes: pd.DataFrame, azimuth_sign: words.AzimuthSign, disse_compat: bool = False, synonyms: bool = True, templates: bool = True
) -> Wording:
    """Return how scenes are put into words: by the catalogue's handedness and the measured T30, or DISSE's way.

    Catalogues of DISSE's own kind hold the nominal T30 under the measured one's name, so that whichever is wanted is taken from the column
    that says what it is, where the catalogue has it for every RIR.
    """
    wanted = DISSE.t30 if disse_compat else "t30_measured_ms"
    t30 = wanted if wanted in scenes and bool(scenes[wanted].notna().all()) else Wording().t30
    sign = DISSE.azimuth_sign if disse_compat else azimuth_sign
    return Wording(sign, t30, synonyms, templates, broken_when_unplaced=disse_compat, tidy=not disse_compat)


def captions(scenes: pd.DataFrame, wording: Wording, seed: int, one_stream: bool = False) -> list[str]:
    """Return a template caption for every scene.

    Args:
        scenes: from :func:`table`.
        wording: how.
        seed: of the words; each scene draws from a stream of its own, which hangs on its id.
        one_stream: as DISSE, one stream of this seed through all scenes in their order.
    """
    stream = random.Random(seed)  # noqa: S311 - words, no secrets
    made = []
    for row in scenes.to_dict("records"):
        own = stream if one_stream else random.Random(f"{seed}/{row['scene_id']}")  # noqa: S311
        made.append(words.caption(row["source_caption"], row, own, wording))
    return made
