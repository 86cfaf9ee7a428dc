"""First-order recordings with known directions, heard by a trained model: where it says that they come from (ELSA's test on real rooms)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from core import audio
from core.errors import InvalidValueError
from tasks.evaluate_spatial import probes
from tasks.evaluate_spatial.metrics import Array, physical_errors, unit
from tasks.evaluate_spatial.spec import Recordings
from tasks.spatial import foa, words
from tasks.spatial.dry import fitted
from tasks.spatial_model.directions import as_vectors, great_circle_deg
from tasks.spatial_model.embedding import ROWS
from tasks.spatial_model.network import SpatialTextModel
from tasks.spatial_model.scenes import FrontEnd
from tasks.spatial_model.spaces import QUANTITIES, Statistics

TABLE = "recordings.csv"
COLUMNS = ("file", "azimuth_deg", "elevation_deg")
"""The table's columns; start_s and duration_s cut an event out of a longer file, ``QUANTITIES`` are compared where they are there."""


def listed(folder: Path, settings: Recordings) -> pd.DataFrame:
    """Return the table of a folder of recordings, azimuths positive to the left.

    Raises:
        InvalidValueError: no table, or columns missing.
    """
    path = folder / TABLE
    if not path.is_file():
        where, hint = "evaluate_spatial.recordings", f"list the recordings in {TABLE}: {', '.join(COLUMNS)}, and start_s, duration_s"
        raise InvalidValueError("no table of recordings", where=where, allowed=str(path), received="nothing there", hint=hint)
    table = pd.read_csv(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing or not len(table):
        raise InvalidValueError("columns missing, or no rows", where=str(path), allowed=COLUMNS, received=missing or len(table))
    if settings.label_azimuth_sign == "right_positive":
        table["azimuth_deg"] = -table["azimuth_deg"]
    return table


def sounds(folder: Path, table: pd.DataFrame, settings: Recordings, rate_hz: int, samples: int) -> Iterator[audio.Samples | str]:
    """Yield each recording as AmbiX [4, samples] at the model's rate, or why it cannot be used."""
    convention = foa.Convention(settings.order, settings.normalisation, settings.azimuth_sign)
    for row in table.to_dict("records"):
        path = (folder / str(row["file"])).resolve()
        if not path.is_relative_to(folder.resolve()):
            yield "its path leaves the folder"
            continue
        try:
            sound, stored_hz = audio.read(path)
        except (OSError, RuntimeError) as error:  # libsndfile's errors are RuntimeErrors
            yield f"unreadable: {error}"
            continue
        start, length = (float(row.get(name) or 0.0) for name in ("start_s", "duration_s"))
        first = round(np.nan_to_num(start) * stored_hz)
        sound = sound[:, first : first + round(np.nan_to_num(length) * stored_hz) if np.nan_to_num(length) > 0 else None]
        if sound.shape[0] != 4 or not sound.shape[1] or not np.isfinite(sound).all() or not np.abs(sound).max() > 0:
            yield f"no four channels with sound: {sound.shape[0]} channels, {sound.shape[1]} samples"
            continue
        heard = audio.resample(foa.to_ambix(sound, convention).astype(np.float32), stored_hz, rate_hz)
        yield np.stack([fitted(channel, samples) for channel in heard])


@torch.no_grad()
def judge(
    model: SpatialTextModel, statistics: Statistics, folder: Path, settings: Recordings, device: str, report: Callable[[int, int], None]
) -> dict[str, Any]:
    """Return errors on a folder of recordings: the model's, and those of the plain mean intensity vector beside them.

    Args:
        model: in evaluation mode.
        statistics: of the rooms that it was trained in.
        folder: with ``recordings.csv`` and what it names.
        settings: channels and labels of the recordings.
        device: where to work.
        report: called with the number of recordings done and all.

    Raises:
        InvalidValueError: no table, or no recording that can be used.
    """
    table = listed(folder, settings)
    front, found, rejected = FrontEnd(model.sizes).to(device), [], {}
    places: list[int] = []
    for batch in _batches(sounds(folder, table, settings, model.sizes.sample_rate_hz, model.sizes.samples)):
        rejected |= {str(table["file"].iloc[place]): sound for place, sound in batch if isinstance(sound, str)}
        kept = {place: sound for place, sound in batch if not isinstance(sound, str)}
        if kept:
            heard = model.hear(*front(torch.from_numpy(np.stack(list(kept.values()))).to(device)))
            plain = np.stack([np.stack(foa.angles(foa.intensity(sound))) for sound in kept.values()])
            found.append([*(part.double().cpu().numpy() for part in (heard.direction, heard.quantities, heard.space)), plain])
        places += kept
        report(batch[-1][0] + 1, len(table))
    if not places:
        received = next(iter(rejected.values()))
        raise InvalidValueError("no recording can be used", where=str(folder), allowed="four channels with sound", received=received)
    direction, quantities, space, plain = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rows = table.iloc[places]
    errors = _errors(rows, direction, quantities, plain, statistics)
    return {**errors, **_words(model, rows, unit(space)), "items": len(places), "rejected": rejected}


def _batches(found: Iterator[audio.Samples | str]) -> Iterator[list[tuple[int, audio.Samples | str]]]:
    numbered = enumerate(found)
    while batch := list(itertools.islice(numbered, ROWS)):
        yield batch


def _errors(table: pd.DataFrame, direction: Array, quantities: Array, plain: Array, statistics: Statistics) -> dict[str, Any]:
    true = foa.unit_vector(table["azimuth_deg"].to_numpy(float), table["elevation_deg"].to_numpy(float))
    known = np.stack([table[name].to_numpy(float) if name in table else np.full(len(table), np.nan) for name in QUANTITIES], 1)
    found = physical_errors(as_vectors(direction), true, statistics.units(quantities), known, statistics.mean)
    angle = great_circle_deg(foa.unit_vector(plain[:, 0], plain[:, 1]), true)
    found["direction_deg"] |= {"of_mean_intensity": {"mean": float(angle.mean()), "median": float(np.median(angle))}}
    return found


def _words(model: SpatialTextModel, table: pd.DataFrame, space: Array) -> dict[str, Any]:
    """Return how often the nearest prompt of direction and elevation is the right one (ELSA's zero-shot localisation)."""
    described = [
        words.Descriptors(direction=words.direction_word(float(row.azimuth_deg)), elevation=words.elevation_word(float(row.elevation_deg)))
        for row in table.itertuples()
    ]
    anchors = probes.prompts(lambda captions: model.read_captions(captions).space.double().cpu().numpy())
    scores = probes.zero_shot(space, described, anchors)
    return {"zero_shot": {name: scores[name] for name in ("direction", "elevation") if name in scores}}
