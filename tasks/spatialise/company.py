"""Who else sounds in a scene, and where its source goes: drawn among the other places of the same room, by the scene's own seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from core.derived import clip_seed
from core.errors import InvalidValueError
from tasks.spatial_features.convolution import convolve, mixed, moving, padded
from tasks.spatialise.spec import Settings

STOPS, OTHERS = "stops", "others"
"""Columns of a scene table: JSON lists of spatial_ids, the scene's own first, and of {clip_id, clip_path, spatial_id, gain_db, onset_s}."""


def gathered(table: pd.DataFrame, rirs: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return a scene table with the columns :data:`STOPS` and :data:`OTHERS`.

    Other sources are clips of the scene's split, each once; places are those of its room in its split. What a scene gets hangs on its id
    alone, given clips and rooms.

    Raises:
        InvalidValueError: a room with too few places, or a split with too few clips.
    """
    named = rirs.assign(room_id=rirs.get("room_id", "")).sort_values("spatial_id")
    places = {key: list(part["spatial_id"]) for key, part in named.groupby(["room_id", "split"])}
    split_of = dict(zip(rirs["spatial_id"], rirs["split"], strict=True))
    known = table.drop_duplicates("source_id").sort_values("source_id")
    pool = {str(split): list(zip(part["source_id"], part["clip_path"], strict=True)) for split, part in known.groupby("split")}
    stops, others = [], []
    for row in table.itertuples():
        rng = np.random.default_rng(clip_seed(settings.seed, str(row.scene_id), 0) + 1)  # another stream than the noise's
        free = [name for name in places.get((row.room_id, split_of[row.spatial_id]), []) if name != row.spatial_id]
        clips = [one for one in pool[str(row.split)] if one[0] != row.source_id]
        _enough(free, clips, settings, str(row.room_id))
        chosen = [free[place] for place in rng.permutation(len(free))]
        stops.append(json.dumps([row.spatial_id, *chosen[: settings.stops - 1]]))
        company = []
        for place, name in zip(rng.permutation(len(clips)), chosen[settings.stops - 1 :][: settings.others], strict=False):
            clip, path = clips[place]
            gain = float(rng.uniform(settings.others_min_db, settings.others_max_db))
            onset = float(rng.uniform(0.0, settings.others_onset_share * settings.duration_s))
            company.append({"clip_id": clip, "clip_path": path, "spatial_id": name, "gain_db": gain, "onset_s": onset})
        others.append(json.dumps(company))
    return table.assign(**{STOPS: stops, OTHERS: others})


def _enough(free: list[str], clips: list[Any], settings: Settings, room: str) -> None:
    wanted = settings.stops - 1 + settings.others
    if len(free) < wanted:
        hint = "let several responses share a room: simulate_rooms.pool_rooms=…, with fewer rooms than responses"
        raise InvalidValueError(
            "too few places in a room", where=f"spatialise: room {room}", allowed=f"{wanted + 1} responses of one split",
            received=len(free) + 1, hint=hint,
        )  # fmt: skip
    if len(clips) < settings.others:
        raise InvalidValueError(
            "too few other clips in a split", where="spatialise.others", allowed=f"at most {len(clips)}", received=settings.others
        )


def heard(dry: Tensor, row: Any, rir: Callable[[str], Tensor], load: Callable[[str], Tensor], sample_rate_hz: int) -> Tensor:
    """Return one scene [4, T] with everybody in it, before level and noise.

    Args:
        dry: its own source [T].
        row: of a table with :data:`STOPS` and :data:`OTHERS`.
        rir: gives the response [4, L] of a spatial_id.
        load: gives another clip [T] by its path.
        sample_rate_hz: of all of them.
    """
    places = [rir(name) for name in json.loads(row.stops)]
    own = moving(dry, padded(places)) if len(places) > 1 else convolve(dry[None], places[0][None])[0, 0]
    company = json.loads(row.others)
    wet = [convolve(load(one["clip_path"])[None], rir(one["spatial_id"])[None])[0, 0] for one in company]
    onsets = [round(one["onset_s"] * sample_rate_hz) for one in company]
    return mixed([own, *wet], [0.0, *(one["gain_db"] for one in company)], [0, *onsets])
