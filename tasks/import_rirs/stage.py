"""Writes ``rirs/<spatial_id>.wav`` (AmbiX, float32), ``catalogue.parquet`` and ``catalogue.json``, as ``simulate_rooms`` does."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from core import audio
from core.context import Context
from core.errors import InvalidValueError
from tasks.import_rirs import reading
from tasks.import_rirs.reading import LABELS, Found, Unusable
from tasks.import_rirs.spec import Request, Result, Settings
from tasks.spatial import acoustics, catalogue, foa, words
from tasks.spatial.sound_files import write_float

ONSET_DB = -20.0
"""The direct sound arrives where the response first comes this near to its peak (ISO 3382-1, A.2)."""
DIRECT_S = 0.0015
"""Of the arrival that is looked at for its direction."""


def run(request: Request, context: Context) -> Result:
    """Take in everything that is usable."""
    settings, folder = request.settings, context.locate(request.source)
    rows: list[dict[str, Any]] = []
    rejected: list[dict[str, str]] = []
    seen: list[tuple[float, float]] = []
    for number, found in enumerate(reading.responses(folder, settings), start=1):
        try:
            row, direction = _taken_in(found, settings, context)
        except Unusable as error:
            rejected.append({"file": found[0] if isinstance(found, tuple) else found.name, "reason": str(error)})
        else:
            rows.append(row)
            seen.append(direction)
        context.progress(number, number, "responses")
    share = len(rejected) / max(1, len(rejected) + len(rows))
    if not rows or share > settings.max_reject_fraction:
        where = "import_rirs.max_reject_fraction"
        raise InvalidValueError("too much is unusable", where=where, allowed=settings.max_reject_fraction, received=rejected[:5])
    checked = check_directions(rows, seen, settings)
    meta = {"format": "foa", "self_test": checked, "unreachable": [], "rejected": rejected, "caption_t30": "measured"}
    catalogue.write_catalogue(context.output, rows, meta)
    return Result(len(rows), len({row["room_id"] for row in rows}), len(rejected), checked["direction_error_deg"])


def _taken_in(found: Found | tuple[str, str], settings: Settings, context: Context) -> tuple[dict[str, Any], tuple[float, float]]:
    """Convert, measure and write one response; return its row and the direction its direct sound comes from."""
    if isinstance(found, tuple):
        raise Unusable(found[1])
    samples = _ambix(found, settings)
    labels = _labels(found, settings)
    onset = _onset(samples[0])
    measured = acoustics.measure(samples[0], settings.sample_rate_hz, onset, settings.noisy)
    if not np.isfinite(measured.t30_ms):
        raise Unusable("its decay has no measurable T30")
    heard = samples[:, max(0, onset - 8) : onset + round(DIRECT_S * settings.sample_rate_hz)]
    azimuth, elevation = foa.direction(heard)
    identity = found.spatial_id
    path = context.output / catalogue.FOLDER / f"{identity}.wav"
    write_float(path, samples, settings.sample_rate_hz)
    row = {
        **labels, **catalogue.acoustic_columns(measured), "spatial_id": identity, "rir_path": f"{catalogue.FOLDER}/{path.name}",
        "fs": settings.sample_rate_hz, "delay_samples": 0, "fullband_T30_ms": measured.t30_ms, "peak": float(np.abs(samples).max()),
    }  # fmt: skip
    return {**row, "descriptor_id": words.descriptor_id(words.describe(row))}, (float(azimuth), float(elevation))


def _ambix(found: Found, settings: Settings) -> npt.NDArray[np.float32]:
    if found.samples.shape[0] != 4 or found.samples.shape[1] < 16:
        raise Unusable(f"no first-order sound: {found.samples.shape[0]} channels of {found.samples.shape[1]} samples")
    if not np.isfinite(found.samples).all() or not np.abs(found.samples[0]).max() > 0:
        raise Unusable("silent, or not finite")
    channels = found.samples.astype(np.float32)
    if settings.tetrahedron:
        channels = foa.from_tetrahedron(channels)
    convention = foa.Convention(settings.order, settings.normalisation, settings.azimuth_sign)
    return audio.resample(foa.to_ambix(channels, convention), found.rate_hz, settings.sample_rate_hz)


def _labels(found: Found, settings: Settings) -> dict[str, Any]:
    """Return the columns that the set itself knows, azimuths positive to the left."""
    try:
        labels = {name: float(found.labels[name]) for name in LABELS}
    except (KeyError, ValueError) as error:
        raise Unusable(f"a label is missing or no number: {error}") from error
    if not np.isfinite(list(labels.values())).all() or labels["source_distance_m"] <= 0 or labels["area_m2"] <= 0:
        raise Unusable(f"a label is missing or out of range: {labels}")
    if settings.label_azimuth_sign == "right_positive":
        labels["azimuth_deg"] = -labels["azimuth_deg"]
    labels["azimuth_deg"] = (labels["azimuth_deg"] + 180.0) % 360.0 - 180.0
    room = str(found.labels.get("room_id", found.name))
    split = str(found.labels.get("split") or split_of(room, settings))
    if split not in catalogue.SPLITS:
        raise Unusable(f"unknown split {split!r}")
    nominal = float(found.labels.get("t30_nominal_ms", np.nan))
    return {**labels, "room_id": room, "split": split, "t30_nominal_ms": nominal}


def split_of(room: str, settings: Settings) -> str:
    """Return the split of a room without one, by its name only."""
    if settings.split != "by_room":
        return settings.split
    place = int.from_bytes(hashlib.sha256(f"{settings.seed}/{room}".encode()).digest()[:8], "big") / 2**64
    return "val" if place < settings.val_share else "test" if place < settings.val_share + settings.test_share else "train"


def _onset(samples: npt.NDArray[np.float32]) -> int:
    level = np.abs(samples)
    return int(np.argmax(level >= level.max() * 10 ** (ONSET_DB / 20)))


def check_directions(rows: list[dict[str, Any]], seen: list[tuple[float, float]], settings: Settings) -> dict[str, float]:
    """Return the median angle between labels and direct sounds, as it is and with the labels' sides exchanged.

    Raises:
        InvalidValueError: the labels fit better with their sides exchanged, or not at all: the convention is declared wrongly.
    """
    azimuths, elevations = (np.array([row[name] for row in rows]) for name in ("azimuth_deg", "elevation_deg"))
    directions = np.array(seen).T
    error = float(np.median(foa.apart_deg((azimuths, elevations), (directions[0], directions[1]))))
    mirrored = float(np.median(foa.apart_deg((-azimuths, elevations), (directions[0], directions[1]))))
    found = {"direction_error_deg": error, "mirrored_error_deg": mirrored, "responses": float(len(rows))}
    if error > settings.tolerance_deg:
        side = "azimuth_sign or label_azimuth_sign" if mirrored < settings.tolerance_deg else "order, normalisation or tetrahedron"
        raise InvalidValueError(
            "direct sounds do not come from where the labels say", where="import_rirs.tolerance_deg",
            allowed=f"at most {settings.tolerance_deg}° in the median", received=found, hint=f"look at import_rirs.{side}",
        )  # fmt: skip
    return found
