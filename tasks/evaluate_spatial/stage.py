"""Embeds the grid, scores it, writes scores, embeddings and the grid itself."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import atomic
from core.context import Context
from core.errors import InvalidValueError
from core.manifest import clip_id
from tasks.evaluate_spatial import cache, metrics, probes, recordings, tables
from tasks.evaluate_spatial.metrics import Array, Labels
from tasks.evaluate_spatial.spec import Request, Result, Settings
from tasks.matmul import use_fast_float32
from tasks.spatial.words import descriptor_id
from tasks.spatial_model import storage
from tasks.spatial_model.directions import as_vectors
from tasks.spatial_model.embedding import Grid, embed_grid
from tasks.spatial_model.network import SpatialTextModel
from tasks.spatial_model.sources import Sources
from tasks.spatial_model.spaces import Spaces, Statistics


@dataclass(frozen=True)
class Heard:
    """A grid that went through a model."""

    model: SpatialTextModel
    sources: Sources
    spaces: Spaces
    grid: Grid
    statistics: Statistics


def run(request: Request, context: Context) -> Result:
    """Score one model on one grid, or one cache of embeddings."""
    torch.set_num_threads(context.threads)
    use_fast_float32(context.device)
    if request.embeddings:
        embeddings, labels = cache.read(Path(request.embeddings))
        scores = _scores(embeddings, labels, request.settings)
        atomic.write_json(context.output / "scores.json", finite(scores))
        return _result(scores, labels, 0)
    heard = listen(request, context)
    grid = heard.grid
    labels = {"source": np.array(heard.sources.ids)[grid.sources], "spatial": np.array(heard.spaces.ids)[grid.spaces]}
    scores = _scores(grid.embeddings, labels, request.settings)
    said = words_of(heard)
    scores["retrieval_by_words"] = tables.cross_modal(grid.embeddings, said, request.settings.ties)
    scores["ceiling@1"] = {
        "SRC": metrics.ceiling(labels["source"], said["source"]),
        "SPA": metrics.ceiling(labels["spatial"], said["spatial"]),
    }
    scores["physical"] = _physical(heard)
    if request.settings.probes:
        scores |= _probes(heard, request.settings.seed)
    if request.recordings:
        folder = context.locate(request.recordings)
        report = lambda done, total: context.progress(done, total, "recordings")  # noqa: E731
        scores["recordings"] = recordings.judge(heard.model, heard.statistics, folder, request.settings.recordings, context.device, report)
    scores["unreadable_clips"] = dict(sorted(heard.sources.unreadable.items()))
    atomic.write_json(context.output / "scores.json", finite(scores))
    cache.write(
        context.output,
        grid.embeddings,
        labels["source"],
        labels["spatial"],
        {
            "caption": np.array(grid.captions),
            "direction": grid.direction.astype(np.float32),
            "quantities": grid.quantities.astype(np.float32),
            "source_words": said["source"],
            "spatial_words": said["spatial"],
        },
    )
    _write_grid(context, heard)
    return _result(scores, labels, len(heard.sources.unreadable))


def listen(request: Request, context: Context) -> Heard:
    """Open model, clips and rooms and embed the grid.

    Raises:
        InvalidValueError: an id that is not of this split.
    """
    model, config = storage.load(context.resolve(request.model), context.device)
    settings, sizes = request.settings, model.sizes
    clips, rooms = context.resolve(request.clips), context.resolve(request.catalogue)
    sources = Sources(clips, context.data_root, settings.split, sizes.sample_rate_hz, sizes.samples, config["trim"])
    spaces = Spaces(rooms, settings.split, sizes.sample_rate_hz, sizes.samples, config["compat"])
    places = chosen(sources.ids, settings.clip_ids, sources.spread(settings.sources), "clip_ids")
    spots = chosen(spaces.ids, settings.spatial_ids, spaces.spread(settings.spaces), "spatial_ids")
    grid = embed_grid(
        model, sources, spaces, (places, spots), settings.seed, context.device, lambda done, total: context.progress(done, total, "items")
    )
    return Heard(model, sources, spaces, grid, Statistics(**{name: tuple(part) for name, part in config["statistics"].items()}))


def chosen(ids: Sequence[str], wanted: Sequence[str], otherwise: list[int], name: str) -> list[int]:
    """Return the places of ids that were asked for, or else the given ones.

    Raises:
        InvalidValueError: an id is not there.
    """
    if not wanted:
        return otherwise
    places = {one: place for place, one in enumerate(ids)}
    missing = [one for one in wanted if one not in places]
    if missing:
        allowed = f"{len(ids)} ids such as {', '.join(ids[:3])}"
        raise InvalidValueError("ids that are not in this split", where=f"evaluate_spatial.{name}", allowed=allowed, received=missing[:5])
    return [places[one] for one in wanted]


def words_of(heard: Heard) -> dict[str, Labels]:
    """Return what captions say of each item: the source's caption, and the id of the words for the space."""
    spots = {int(spot): descriptor_id(heard.spaces.place(int(spot)).words) for spot in np.unique(heard.grid.spaces)}
    return {
        "source": np.array(heard.sources.captions)[heard.grid.sources],
        "spatial": np.array([spots[int(spot)] for spot in heard.grid.spaces]),
    }


def _scores(embeddings: dict[str, Array], labels: dict[str, Labels], settings: Settings) -> dict[str, Any]:
    return {
        "items": len(labels["source"]),
        "retrieval": tables.cross_modal(embeddings, labels, settings.ties),
        "intra_modal": tables.intra_modal(embeddings, labels, settings.ties),
        "iidr": tables.invariance(embeddings, labels),
    }


def _physical(heard: Heard) -> dict[str, Any]:
    grid, spaces = heard.grid, heard.spaces
    places = {int(spot): spaces.place(int(spot)) for spot in np.unique(grid.spaces)}
    angles = np.array([places[int(spot)].angles for spot in grid.spaces])
    true = np.array([places[int(spot)].quantities for spot in grid.spaces])
    predicted = heard.statistics.units(grid.quantities)
    return metrics.physical_errors(as_vectors(grid.direction), as_vectors(angles), predicted, true, heard.statistics.mean)


def _probes(heard: Heard, seed: int) -> dict[str, Any]:
    """Return zero-shot attributes, by ELSA's prompts and by prototypes of whole captions, and swaps by the latter."""

    @torch.no_grad()
    def read(captions: list[str]) -> Array:
        return heard.model.read_captions(captions).space.double().cpu().numpy()

    described = [heard.spaces.place(int(spot)).words for spot in heard.grid.spaces]
    audio, text = heard.grid.embeddings["audio_spatial"], heard.grid.embeddings["text_spatial"]
    known = sorted(set(np.array(heard.sources.captions)[heard.grid.sources]))
    anchors = probes.prototypes(read, known, heard.spaces.wording, seed)
    return {
        "zero_shot": {
            "prompts": probes.zero_shot(audio, described, probes.prompts(read)), "prototypes": probes.zero_shot(audio, described, anchors)
        },
        "swap": probes.swap(audio, text, described, anchors),
    }  # fmt: skip


def _write_grid(context: Context, heard: Heard) -> None:
    """Write the grid as a table: what was heard where, and its caption; item ids are hashes of both ids."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["item_id", "source_id", "spatial_id", "dry_path", "rir_path", "text"])
    table, catalogue = heard.sources.table, heard.spaces.catalogue.table
    for place, spot, caption in zip(heard.grid.sources, heard.grid.spaces, heard.grid.captions, strict=True):
        one, other = heard.sources.ids[place], heard.spaces.ids[spot]
        rir = str(catalogue["rir_path"].iloc[heard.spaces.rows[spot]])
        rows.writerow([clip_id(one, other), one, other, table["path"].iloc[place], rir, caption])
    atomic.write_text(context.output / "grid.csv", text.getvalue())


def _result(scores: dict[str, Any], labels: dict[str, Labels], unreadable: int) -> Result:
    def mean(task: str, name: str) -> float:
        return float(np.mean([side[name] for side in scores["retrieval"][task].values()]))

    physical = scores.get("physical", {})
    errors = {name: physical[name]["mean_absolute"] if name in physical else None for name in ("distance_m", "area_m2", "t30_ms")}
    return Result(
        items=scores["items"],
        sources=len(np.unique(labels["source"])),
        spaces=len(np.unique(labels["spatial"])),
        src_r1=mean("SRC", "R@1"),
        src_lift=mean("SRC", "lift@1"),
        spa_r1=mean("SPA", "R@1"),
        spa_lift=mean("SPA", "lift@1"),
        x_src_lift=mean("X-SRC", "lift@1"),
        x_spa_lift=mean("X-SPA", "lift@1"),
        both_r1=mean("Both", "R@1"),
        direction_median_deg=physical["direction_deg"]["median"] if physical else None,
        distance_mae_m=errors["distance_m"],
        area_mae_m2=errors["area_m2"],
        t30_mae_ms=errors["t30_ms"],
        recordings=scores.get("recordings", {}).get("items", 0),
        recordings_direction_deg=scores["recordings"]["direction_deg"]["median"] if "recordings" in scores else None,
        unreadable=unreadable,
    )


def finite(values: Any) -> Any:
    """Return scores as JSON has them: NaN becomes null, an infinite ratio the text ``infinite``."""
    if isinstance(values, dict):
        return {name: finite(value) for name, value in values.items()}
    if isinstance(values, float) and not math.isfinite(values):
        return None if math.isnan(values) else "infinite"
    return values
