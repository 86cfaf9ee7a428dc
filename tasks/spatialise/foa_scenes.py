"""Scenes of the mode ``foa``: which there are, how they are rendered, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from tasks.spatial_features import levels
from tasks.spatial_features.intensity import HOP, N_FFT, RATE_HZ, Intensity
from tasks.spatial_features.levels import Level
from tasks.spatial_features.rendering import Rendering, load_rirs, render
from tasks.spatialise import company
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
        return _with_company(table, catalogue, settings)
    clips = manifest.read(context.resolve(request.clips))
    choice = scenes.Choice(settings.pairing, settings.per_clip, settings.split, seed=settings.seed)
    table = scenes.table(clips, catalogue.table, choice)
    table["caption"] = scenes.captions(table, scenes.wording(table, catalogue.meta["azimuth_sign"]), settings.seed)
    return _with_company(table, catalogue, settings)


def _with_company(table: pd.DataFrame, catalogue: Catalogue, settings: Settings) -> pd.DataFrame:
    return company.gathered(table, catalogue.table, settings) if settings.stops > 1 or settings.others else table


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
    intensity = intensity_of(settings, catalogue.sample_rate_hz).to(context.device)
    rooms = _Rooms(catalogue, settings, context)
    rows: list[dict[str, Any]] = []
    for path, scene in table.groupby("clip_path", sort=False):
        try:
            dry = rooms.dry(str(path))
        except Unusable as error:
            rows += [{"scene_id": name, "status": "rejected", "reason": str(error)} for name in scene["scene_id"]]
        else:
            for at in range(0, len(scene), TOGETHER):
                rows += rooms.written(folder, scene.iloc[at : at + TOGETHER], dry, intensity)
        report(len(scene))
    (folder / ROWS).write_text(json.dumps(rows))


def load_sound(root: Path, path: str, sample_rate_hz: int, duration_s: float) -> audio.Samples:
    """Return a dry clip at rate and length, checked.

    Raises:
        Unusable: missing, damaged, silent or not finite; the reason in a word.
    """
    samples, rate_hz = load(locate(root, path), Limits(min_duration_s=0.0, max_duration_s=1e9, clipped_share=1.0))
    return fitted(audio.resample(samples.mean(axis=0), rate_hz, sample_rate_hz), round(duration_s * sample_rate_hz), path)


class _Rooms:
    """Clips heard in the rooms of a catalogue."""

    def __init__(self, catalogue: Catalogue, settings: Settings, context: Context) -> None:
        self.catalogue, self.settings, self.context, self.rate_hz = catalogue, settings, context, catalogue.sample_rate_hz
        self._places = {name: place for place, name in enumerate(catalogue.table["spatial_id"])}

    def dry(self, path: str) -> Tensor:
        """Return a clip [T]; raises as :func:`load_sound`."""
        return torch.from_numpy(load_sound(self.context.data_root, path, self.rate_hz, self.settings.duration_s)).to(self.context.device)

    def rirs(self, names: Sequence[str]) -> Tensor:
        """Return responses [V, 4, L]."""
        return load_rirs(self.catalogue, [self._places[name] for name in names], self.settings.trim_delay).to(self.context.device)

    def written(self, folder: Path, some: pd.DataFrame, dry: Tensor, intensity: Intensity) -> list[dict[str, Any]]:
        """Render and write scenes of one clip; return what the index will say of them."""
        names, level = list(some["scene_id"]), level_of(self.settings)
        if self.settings.store == "none":
            return [{"scene_id": name, "status": "accepted", "reason": ""} for name in names]
        if company.STOPS in some:
            return self._in_company(folder, some, dry, intensity)
        with torch.no_grad():
            heard, told = render(dry[None], self.rirs(list(some["spatial_id"])), [names], Rendering(self.rate_hz, level))
        return [self._row(folder, *one, intensity) for one in zip(names, heard[0], told[0], strict=True)]

    def _in_company(self, folder: Path, some: pd.DataFrame, dry: Tensor, intensity: Intensity) -> list[dict[str, Any]]:
        rows = []
        for row in some.itertuples():
            try:
                wet = company.heard(dry, row, lambda name: self.rirs([name])[0], self.dry, self.rate_hz)
            except Unusable as error:
                rows.append({"scene_id": row.scene_id, "status": "rejected", "reason": f"another source: {error}"})
                continue
            heard, told = levels.apply(wet[None], level_of(self.settings), self.rate_hz, [str(row.scene_id)])
            rows.append(self._row(folder, str(row.scene_id), heard[0], told[0], intensity))
        return rows

    def _row(self, folder: Path, name: str, heard: Tensor, told: dict[str, float], intensity: Intensity) -> dict[str, Any]:
        """Write one scene and return what the index will say of it."""
        settings, foa = self.settings, heard.cpu().numpy()
        row = {"scene_id": name, "status": "accepted", "reason": "", "peak": float(np.abs(foa).max()), **told}
        if settings.store in ("both", "foa"):
            path = folder / "foa" / f"{name}.{settings.form}"
            if settings.form == "wav":
                write_float(path, foa, self.rate_hz)
            else:
                audio.write(path, foa, self.rate_hz, "PCM_24")
            row |= {"foa_file": path.name, "sha256": keys.file_digest(path)}
        if settings.store in ("both", "features"):
            path = folder / "features" / f"{name}.npz"
            with torch.no_grad():
                active, reactive = (one.cpu().numpy().astype(settings.feature_format) for one in intensity(heard))
            with atomic.replacing(path) as temporary, temporary.open("wb") as handle:
                np.savez(handle, i_act=active, i_rea=reactive)
            row["feat_file"] = path.name
        return row
