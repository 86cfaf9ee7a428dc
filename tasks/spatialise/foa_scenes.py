"""Scenes of the mode ``foa``: which there are, how they are rendered, and how they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from core import atomic, audio, keys, manifest
from core.audio_checks import Limits, Unusable, load, locate
from core.context import Context
from core.errors import InvalidValueError
from tasks.spatial import scenes
from tasks.spatial.catalogue import Catalogue, open_catalogue
from tasks.spatial.dry import fitted
from tasks.spatial.sound_files import write_float
from tasks.spatial_features.intensity import HOP, N_FFT, RATE_HZ, Intensity
from tasks.spatial_features.levels import Level
from tasks.spatial_features.rendering import Rendering, load_rirs, render
from tasks.spatialise.spec import Request, Settings

TOGETHER = 8
"""RIRs that share a transform of the dry clip; fixed, so that a scene's last bits hang on no machine's memory."""
ROWS = "rows.json"


def level_of(settings: Settings) -> Level:
    """Return the level policy of some settings."""
    return Level(settings.level, settings.target_db, (settings.min_snr_db, settings.max_snr_db) if settings.noise else None, settings.seed)


def intensity_of(settings: Settings, sample_rate_hz: int) -> Intensity:
    """Return what makes the features."""
    return Intensity(sample_rate_hz, settings.norm, mels=settings.mels)


def scene_table(request: Request, context: Context, catalogue: Catalogue) -> pd.DataFrame:
    """Return the scenes to render: the given table's, or pairs with template captions.

    Raises:
        InvalidValueError: the table names RIRs that the catalogue lacks.
    """
    settings = request.settings
    if request.scenes:
        table = pd.read_parquet(context.resolve(request.scenes) / "scenes.parquet")
        unknown = sorted(set(table["spatial_id"]) - set(catalogue.table["spatial_id"]))
        if unknown:
            raise InvalidValueError("RIRs of another catalogue", where=request.scenes, allowed=request.catalogue, received=unknown[:5])
        return table
    clips = manifest.read(context.resolve(request.clips))
    choice = scenes.Choice(settings.pairing, settings.per_clip, settings.split, seed=settings.seed)
    table = scenes.table(clips, catalogue.table, choice)
    table["caption"] = scenes.captions(table, scenes.wording(table, catalogue.meta["azimuth_sign"]), settings.seed)
    return table


def gigabytes(settings: Settings, sample_rate_hz: int, count: int) -> float:
    """Return what scenes take on disk: FLAC counted at its 24 bit, uncompressed."""
    samples, frames = settings.duration_s * sample_rate_hz, settings.duration_s * RATE_HZ // HOP + 1
    sound = 4 * samples * (4 if settings.form == "wav" else 3) if settings.store in ("both", "foa") else 0
    numbers = 2 * 3 * (settings.mels or N_FFT // 2 + 1) * frames * (4 if settings.feature_format == "float32" else 2)
    return count * (sound + (numbers if settings.store in ("both", "features") else 0)) / 1e9


def write_shard(request: Request, context: Context, folder: Path, table: pd.DataFrame, report: Any) -> None:
    """Render the scenes of some sources into a shard's folder.

    Args:
        request: what to write.
        context: device and data root.
        folder: the shard's.
        table: scenes, those of a source one after the other.
        report: called with the number of scenes done.
    """
    settings = request.settings
    catalogue = open_catalogue(context.resolve(request.catalogue))
    places = {name: place for place, name in enumerate(catalogue.table["spatial_id"])}
    intensity = intensity_of(settings, catalogue.sample_rate_hz).to(context.device)
    rows: list[dict[str, Any]] = []
    for path, scene in table.groupby("clip_path", sort=False):
        try:
            dry = load_sound(context.data_root, str(path), catalogue.sample_rate_hz, settings.duration_s)
        except Unusable as error:
            rows += [{"scene_id": name, "status": "rejected", "reason": str(error)} for name in scene["scene_id"]]
        else:
            for at in range(0, len(scene), TOGETHER):
                some = scene.iloc[at : at + TOGETHER]
                rirs = load_rirs(catalogue, [places[name] for name in some["spatial_id"]], settings.trim_delay)
                rows += _written(settings, context, folder, some, dry, rirs, intensity)
        report(len(scene))
    (folder / ROWS).write_text(json.dumps(rows))


def load_sound(root: Path, path: str, sample_rate_hz: int, duration_s: float) -> audio.Samples:
    """Return a dry clip at rate and length, checked.

    Raises:
        Unusable: missing, damaged, silent or not finite; the reason in a word.
    """
    samples, rate_hz = load(locate(root, path), Limits(min_duration_s=0.0, max_duration_s=1e9, clipped_share=1.0))
    return fitted(audio.resample(samples.mean(axis=0), rate_hz, sample_rate_hz), round(duration_s * sample_rate_hz), path)


def _written(
    settings: Settings, context: Context, folder: Path, some: pd.DataFrame, dry: audio.Samples, rirs: Tensor, intensity: Intensity
) -> list[dict[str, Any]]:
    """Render and write scenes of one clip; return what the index will say of them."""
    rate_hz, names, device = intensity.sample_rate_hz, list(some["scene_id"]), context.device
    if settings.store == "none":
        return [{"scene_id": name, "status": "accepted", "reason": ""} for name in names]
    with torch.no_grad():
        sound = torch.from_numpy(dry)[None].to(device)
        heard, told = render(sound, rirs.to(device), [names], Rendering(rate_hz, level_of(settings)))
        vectors = intensity(heard[0]) if settings.store in ("both", "features") else None
    rows = []
    for place, name in enumerate(names):
        foa = heard[0, place].cpu().numpy()
        row = {"scene_id": name, "status": "accepted", "reason": "", "peak": float(np.abs(foa).max()), **told[0][place]}
        if settings.store in ("both", "foa"):
            path = folder / "foa" / f"{name}.{settings.form}"
            if settings.form == "wav":
                write_float(path, foa, rate_hz)
            else:
                audio.write(path, foa, rate_hz, "PCM_24")
            row |= {"foa_file": path.name, "sha256": keys.file_digest(path)}
        if vectors is not None:
            path = folder / "features" / f"{name}.npz"
            with atomic.replacing(path) as temporary, temporary.open("wb") as handle:
                active, reactive = (one[place].cpu().numpy().astype(settings.feature_format) for one in vectors)
                np.savez(handle, i_act=active, i_rea=reactive)
            row["feat_file"] = path.name
        rows.append(row)
    return rows
