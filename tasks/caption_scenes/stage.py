"""Writes ``scenes.parquet`` (one row per clip and RIR), ``manifest.csv`` in DISSE's columns, and ``scenes.json``."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from core import atomic, manifest
from core.context import Context
from core.contract import to_dict
from tasks.caption_scenes.spec import STAGE, Request, Result, Settings
from tasks.spatial import scenes, words
from tasks.spatial.catalogue import open_catalogue
from tasks.spatial.words import Wording

TABLE, LIST, DESCRIPTION = "scenes.parquet", "manifest.csv", "scenes.json"
TEMPLATE = "template"


def run(request: Request, context: Context) -> Result:
    """Pair and caption.

    Raises:
        InvalidValueError: there is nothing to pair, a list names what is not there, or the language model's server fails.
    """
    settings = request.settings
    catalogue = open_catalogue(context.resolve(request.catalogue))
    clips = manifest.read(context.resolve(request.clips))
    wanted = [
        scenes.listed(context.locate(path), names) if path else []
        for path, names in ((request.sources, scenes.SOURCE_NAMES), (request.spaces, scenes.SPACE_NAMES))
    ]
    choice = scenes.Choice(settings.pairing, settings.per_clip, settings.split, settings.rir_split, settings.captions, settings.seed)
    table = scenes.table(clips, catalogue.table, choice, *wanted)
    wording = scenes.wording(table, catalogue.meta["azimuth_sign"], settings.disse_compat, settings.synonyms, settings.templates)
    described = [words.describe(row, wording) for row in table.to_dict("records")]
    table["descriptor_id"] = [words.descriptor_id(one) for one in described]
    table["template_caption"] = scenes.captions(table, wording, settings.seed, settings.disse_compat)
    table["caption"], table["caption_by"], more = _rewritten(table, described, settings, context)
    _write(table, wording, request, context)
    return Result(
        scenes=len(table), sources=table["source_id"].nunique(), spaces=table["spatial_id"].nunique(),
        tuples=table["descriptor_id"].nunique(), rewritten=int((table["caption_by"] != TEMPLATE).sum()), **more,
    )  # fmt: skip


def _rewritten(
    table: pd.DataFrame, described: list[words.Descriptors], settings: Settings, context: Context
) -> tuple[list[str], list[str], dict[str, Any]]:
    """Return captions, who wrote them, and what that cost; only train captions are rewritten."""
    templates = [str(text) for text in table["template_caption"]]
    if settings.language_model == "grammar":
        return templates, [TEMPLATE] * len(table), {}
    from tasks.caption_scenes.rewriter import Rewriter, Scene  # the library takes most of a second to import
    from tasks.language_model.writer import for_all

    writer = Rewriter(settings, context)
    jobs = []
    for row, place in zip(table.itertuples(), described, strict=True):
        if row.split == "train":
            scene = Scene(str(row.scene_id), str(row.template_caption), str(row.source_caption), place)
            jobs.append((scene.scene_id, partial(writer.caption, scene), lambda: ""))
    found, reasons = for_all(writer, jobs, settings, STAGE.name, context, "captions")
    captions = [found.get(scene, "") or template for scene, template in zip(table["scene_id"], templates, strict=True)]
    by = [writer.name if found.get(scene) else TEMPLATE for scene in table["scene_id"]]
    return captions, by, {"fallbacks": len(reasons), **writer.counts.told(settings)}


def _write(table: pd.DataFrame, wording: Wording, request: Request, context: Context) -> None:
    with atomic.replacing(context.output / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    # The original's columns; its paths are relative to the list itself.
    here = Path(context.final or context.output.relative_to(context.data_root))
    alike = pd.DataFrame({
        "dry_path": [os.path.relpath(path, here) for path in table["clip_path"]],
        "rir_path": [os.path.relpath(Path(request.catalogue) / path, here) for path in table["rir_path"]],
        "text": table["caption"], "source_id": table["source_id"], "spatial_id": table["spatial_id"],
    })  # fmt: skip
    atomic.write_text(context.output / LIST, alike.to_csv(index=False))
    mirrored = request.settings.disse_compat
    atomic.write_json(context.output / DESCRIPTION, {
        "settings": to_dict(request.settings), "catalogue": request.catalogue, "clips": request.clips,
        "azimuth_sign": wording.azimuth_sign, "t30_column": wording.t30, "scenes": len(table),
        "words": "left and right exchanged against AmbiX (DISSE)" if mirrored else "left is AmbiX's left: positive Y",
    })  # fmt: skip
