"""The presets nearest to sounds: to those of other presets, and to sound files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import audio
from core.context import Context
from core.errors import InvalidValueError
from tasks.audio_models.interface import AudioModel
from tasks.audio_models.opening import open_audio_model
from tasks.evaluate_preset_encoder.pools import Pool
from tasks.evaluate_preset_encoder.spec import Request, Settings
from tasks.preset_encoders.encoder import PresetEncoder
from tasks.preset_encoders.inference import nearest
from tasks.preset_encoders.ranking import Distance, distances, places
from tasks.presets.reading import PresetSet

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")


def of_presets(pool: Pool, settings: Settings, distance: Distance) -> list[dict[str, Any]]:
    """Return, for the sounds of some presets spread evenly over a pool, the nearest presets of the pool and the rank of its own."""
    some = np.unique(np.linspace(0, len(pool) - 1, min(settings.nearest_sounds, len(pool))).round().astype(np.int64))
    if not settings.nearest_sounds:
        return []
    queries = pool.heard[torch.from_numpy(some).to(pool.heard.device)]
    own = places(distances(queries, pool.found, distance).cpu(), torch.from_numpy(some)).mean_rank.tolist()
    listed = _listed(queries, pool, settings, distance)
    return [
        {"sound_of": pool.name(place), "row": int(pool.rows[place]), "rank_of_own_preset": rank, "nearest": found}
        for place, rank, found in zip(some.tolist(), own, listed, strict=True)
    ]


def of_files(
    request: Request, pools: Mapping[str, Pool], encoder: PresetEncoder, distance: Distance, context: Context
) -> list[dict[str, Any]]:
    """Return the nearest presets of each sound file, from every pool.

    Raises:
        InvalidValueError: no sound files, or another audio model than the sets were made with.
    """
    path = Path(request.sounds)
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES)
    if not files:
        raise InvalidValueError("no sound files", where="evaluate_preset_encoder.sounds", allowed=SUFFIXES, received=request.sounds)
    presets = next(iter(pools.values())).presets
    model = audio_model_of(presets, request.audio_weights, context.device)
    samples = round(presets.meta["duration_s"] * model.sample_rate_hz)
    told = []
    for file in files:
        sound = audio.fit_length(audio.load_mono(file, model.sample_rate_hz), samples)
        with torch.no_grad():
            query = encoder.normalised(model(torch.from_numpy(sound)[None].to(context.device)))
        query = encoder.undone(query) if request.settings.space == "embedding" else query
        name = file.name if file == path else file.relative_to(path).as_posix()
        told.append({"file": name, "nearest": {set_name: _listed(query, pool, request.settings, distance)[0]
                                               for set_name, pool in pools.items()}})  # fmt: skip
    return told


def audio_model_of(presets: PresetSet, weights: str, device: str) -> AudioModel:
    """Open the audio model that a set was made with.

    Raises:
        InvalidValueError: its weights are missing, or others.
    """
    whole, _, reduction = presets.meta["audio_model"].partition("/")
    name = whole.partition(":")[0]
    model = open_audio_model(f"{name}:{weights}" if weights else name, device, reduction or "avg")
    if model.identity != presets.meta["audio_model"]:
        raise InvalidValueError("not the audio model of the set", where="evaluate_preset_encoder.audio_weights",
                                allowed=presets.meta["audio_model"], received=model.identity)  # fmt: skip
    return model


def _listed(queries: Tensor, pool: Pool, settings: Settings, distance: Distance) -> list[list[dict[str, Any]]]:
    rows, far = nearest(queries, pool.found, settings.nearest_presets, distance)
    return [
        [{"name": pool.name(place), "row": int(pool.rows[place]), "distance": value} for place, value in zip(line, values, strict=True)]
        for line, values in zip(rows.tolist(), far.tolist(), strict=True)
    ]
