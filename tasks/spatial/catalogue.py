"""The catalogue of room impulse responses: ``catalogue.parquet``, one row per response, ``catalogue.json``, and their WAV files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core import atomic, audio
from core.errors import InvalidValueError
from tasks.spatial import foa
from tasks.spatial.acoustics import OCTAVES_HZ, Acoustics

TABLE, DESCRIPTION, FOLDER = "catalogue.parquet", "catalogue.json", "rirs"
SPLITS = ("train", "val", "test")
OCTAVE_COLUMNS = {centre: f"t30_{centre}hz_ms" for centre in OCTAVES_HZ}
PHYSICAL = ("area_m2", "source_distance_m", "fullband_T30_ms")
"""What models regress; ``catalogue.json`` has their mean and standard deviation over the train split."""
COLUMNS = (
    "spatial_id", "room_id", "descriptor_id", "split", "rir_path", "fs", "delay_samples", "azimuth_deg", "elevation_deg",
    "source_distance_m", "area_m2", "dims_m", "alpha", "alpha_bands", "t30_nominal_ms", "t30_measured_ms", "fullband_T30_ms", "edt_ms",
    "c50_db", "drr_db", "fit_r", "direct_excluded", *OCTAVE_COLUMNS.values(), "source_pos_xyz", "receiver_pos_xyz", "receiver_yaw_deg",
    "image_order", "images", "crossover_ms", "peak", "seconds", "attempt",
)  # fmt: skip
"""Columns in order. ``dims_m``, ``alpha_bands``, ``source_pos_xyz`` and ``receiver_pos_xyz`` are JSON lists; what is not known is NaN."""
_NEEDED = ("spatial_id", "rir_path", "split", "azimuth_deg", "elevation_deg", *PHYSICAL)


@dataclass(frozen=True)
class Catalogue:
    """An opened catalogue."""

    folder: Path
    """Where it lies."""
    table: pd.DataFrame
    """One row per response, index 0 …; columns as in :data:`COLUMNS`."""
    meta: dict[str, Any]
    """``catalogue.json``."""

    def __len__(self) -> int:
        return len(self.table)

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the responses."""
        return int(self.meta["sample_rate_hz"])

    @property
    def convention(self) -> foa.Convention:
        """How the files are to be read; AmbiX unless the catalogue is one of ``disse_compat``."""
        return foa.Convention(self.meta["order"], self.meta["normalisation"], self.meta["azimuth_sign"])

    def rir(self, row: int, as_stored: bool = False) -> npt.NDArray[np.float32]:
        """Return a response [4, samples], AmbiX.

        Args:
            row: its row in ``table``.
            as_stored: leave the channels' gains as the catalogue has them (DISSE's dipoles are 1/√3 too quiet); A-format is
                turned into W, Y, Z, X in any case.

        Raises:
            InvalidValueError: the file is not what the catalogue says.
        """
        path = self.folder / str(self.table["rir_path"].iloc[row])
        samples, rate_hz = audio.read(path)
        if samples.shape[0] != 4 or rate_hz != self.sample_rate_hz:
            allowed = f"4 channels at {self.sample_rate_hz} Hz"
            raise InvalidValueError(
                "not a response of this catalogue", where=str(path), allowed=allowed, received=(*samples.shape, rate_hz)
            )
        channels = foa.from_tetrahedron(samples) if self.meta.get("format", "foa") == "tetrahedron" else samples
        return np.asarray(channels if as_stored else foa.to_ambix(channels, self.convention), np.float32)

    def rows(self, split: str) -> list[int]:
        """Return the rows of a split."""
        return [int(row) for row in np.flatnonzero(self.table["split"].to_numpy() == split)]


def open_catalogue(folder: Path) -> Catalogue:
    """Open the folder of ``simulate_rooms`` or ``import_rirs``.

    Raises:
        InvalidValueError: no catalogue, columns that are missing, or another number of rows than it says.
    """
    if not (folder / TABLE).is_file() or not (folder / DESCRIPTION).is_file():
        hint = "it is written by simulate_rooms and by import_rirs"
        raise InvalidValueError(
            "no catalogue", where=str(folder), allowed=f"a folder with {TABLE} and {DESCRIPTION}", received="", hint=hint
        )
    table, meta = pd.read_parquet(folder / TABLE), json.loads((folder / DESCRIPTION).read_text())
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise InvalidValueError("columns missing", where=str(folder / TABLE), allowed=_NEEDED, received=missing)
    if len(table) != meta["rows"]:
        raise InvalidValueError("rows are missing", where=str(folder / TABLE), allowed=f"{meta['rows']} rows", received=len(table))
    return Catalogue(folder, table.reset_index(drop=True), meta)


def write_catalogue(folder: Path, rows: list[dict[str, Any]], meta: dict[str, Any], convention: foa.Convention = foa.AMBIX) -> None:
    """Write table and description; the responses lie below ``rirs`` already.

    Args:
        folder: the stage's output.
        rows: one mapping per response; what is left out of :data:`COLUMNS` is NaN, what is beyond them is refused.
        meta: further entries of the description.
        convention: of the files.

    Raises:
        InvalidValueError: no rows, an unknown column or split, or a ``spatial_id`` that occurs twice.
    """
    where = str(folder / TABLE)
    unknown = sorted({name for row in rows for name in row} - set(COLUMNS))
    if not rows or unknown:
        raise InvalidValueError("no rows" if not rows else "unknown columns", where=where, allowed=COLUMNS, received=unknown)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    wrong = sorted(set(table["split"]) - set(SPLITS))
    if wrong:
        raise InvalidValueError("unknown split", where=where, allowed=SPLITS, received=wrong)
    twice = table["spatial_id"][table["spatial_id"].duplicated()]
    if len(twice):
        raise InvalidValueError("spatial_id occurs twice", where=where, allowed="unique ones", received=sorted(set(twice))[:5])
    description = {
        **asdict(convention), "sample_rate_hz": int(table["fs"].iloc[0]), "delay_samples": int(table["delay_samples"].iloc[0]),
        "rows": len(table), "statistics": statistics(table), "splits": {name: int((table["split"] == name).sum()) for name in SPLITS},
        **meta,
    }  # fmt: skip
    with atomic.replacing(folder / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    atomic.write_json(folder / DESCRIPTION, description)


def statistics(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return mean and sd (of the population) of each of :data:`PHYSICAL` over the train rows; nothing without any."""
    train = table[table["split"] == "train"]
    if not len(train):
        return {}
    return {name: {"mean": float(train[name].mean()), "sd": float(train[name].std(ddof=0))} for name in PHYSICAL}


def acoustic_columns(found: Acoustics) -> dict[str, Any]:
    """Return what was measured of a response as columns of its row."""
    octaves = {OCTAVE_COLUMNS[centre]: value for centre, value in found.octave_t30_ms.items()}
    return {
        "t30_measured_ms": found.t30_ms, "edt_ms": found.edt_ms, "c50_db": found.c50_db, "drr_db": found.drr_db, "fit_r": found.fit_r,
        "direct_excluded": found.direct_excluded, **octaves,
    }  # fmt: skip
