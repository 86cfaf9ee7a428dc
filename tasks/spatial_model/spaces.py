"""RIRs of a catalogue as the model hears them: their words, their labels in AmbiX, and the physical quantities behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core import audio
from core.derived import clip_seed
from core.errors import InvalidValueError
from tasks.spatial import words
from tasks.spatial.catalogue import Catalogue, open_catalogue
from tasks.spatial.words import Descriptors, Wording
from tasks.spatial_features.convolution import padded

QUANTITIES = ("area_m2", "source_distance_m", "fullband_T30_ms")
"""In the order of the model's heads."""
NOMINAL = "t30_nominal_ms"
KEPT_BYTES = 2_000_000_000
"""Decoded responses that stay in memory."""


@dataclass(frozen=True)
class Place:
    """Where a source is heard from."""

    words: Descriptors
    angles: tuple[float, float]
    """Azimuth (positive left) and elevation in radians."""
    quantities: tuple[float, float, float]
    """:data:`QUANTITIES`, in their units; NaN where not known."""


class Spaces:
    """RIRs of one split.

    Args:
        folder: a catalogue.
        split: train, val or test.
        sample_rate_hz: of the model; responses are resampled to it.
        samples: of the model's input; responses are cut to that.
        compat: DISSE's way: channels as stored, its mirrored words, the nominal T30.
    """

    def __init__(self, folder: Path, split: str, sample_rate_hz: int, samples: int, compat: bool = False) -> None:
        self.catalogue: Catalogue = open_catalogue(folder)
        self.rows = self.catalogue.rows(split)
        if not self.rows:
            counts = self.catalogue.table["split"].value_counts().to_dict()
            raise InvalidValueError(f"no {split} responses", where=str(folder), allowed=f"responses of split {split}", received=counts)
        self.rate_hz, self.samples, self.compat, self.split = sample_rate_hz, samples, compat, split
        table = self.catalogue.table.iloc[self.rows]
        self.t30 = NOMINAL if compat and NOMINAL in table else QUANTITIES[2]
        self.ids: list[str] = [str(name) for name in table["spatial_id"]]
        columns = (*QUANTITIES[:2], self.t30)
        self.quantities: npt.NDArray[np.float64] = table[list(columns)].to_numpy(np.float64)
        right = self.catalogue.meta.get("azimuth_sign", "left_positive") == "right_positive"
        self._azimuth = table["azimuth_deg"].to_numpy(np.float64) * (-1.0 if right and not compat else 1.0)
        self._elevation = table["elevation_deg"].to_numpy(np.float64)
        self.wording = words.DISSE if compat else Wording()
        self.delay = round(int(self.catalogue.meta.get("delay_samples", 0)) * sample_rate_hz / self.catalogue.sample_rate_hz)
        self._kept: dict[int, Tensor] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, number: int, yaw_deg: float = 0.0) -> Place:
        """Return where the source of a response is, after a turn of the whole room by ``yaw_deg`` to the left."""
        azimuth = (self._azimuth[number] + yaw_deg + 180.0) % 360.0 - 180.0
        area, distance, t30 = self.quantities[number]
        row: dict[str, Any] = {
            "azimuth_deg": azimuth, "elevation_deg": self._elevation[number], "area_m2": area, "source_distance_m": distance,
            self.wording.t30: t30 if math.isfinite(t30) else 500.0,  # a time that has no word
        }  # fmt: skip
        angles = (math.radians(azimuth), math.radians(self._elevation[number]))
        return Place(words.describe(row, self.wording), angles, (float(area), float(distance), float(t30)))

    def azimuth_deg(self, number: int) -> float:
        """Return the azimuth of a response's source as it was simulated."""
        return float(self._azimuth[number])

    def spread(self, most: int) -> list[int]:
        """Return up to ``most`` numbers, in an order that hangs on the ids alone."""
        return sorted(range(len(self.ids)), key=lambda number: clip_seed(0, self.ids[number], 0))[:most]

    def rir(self, number: int) -> Tensor:
        """Return a response [4, samples] at the model's rate, in AmbiX unless ``compat``."""
        if number in self._kept:
            return self._kept[number]
        stored = self.catalogue.rir(self.rows[number], as_stored=self.compat)
        heard = audio.resample(stored, self.catalogue.sample_rate_hz, self.rate_hz)[:, : self.samples + self.delay]
        found = torch.from_numpy(np.ascontiguousarray(heard))
        if self._bytes + heard.nbytes <= KEPT_BYTES:
            self._kept[number] = found
            self._bytes += heard.nbytes
        return found

    def rirs(self, numbers: list[int]) -> Tensor:
        """Return responses [V, 4, longest], zeros behind the short ones."""
        return padded([self.rir(number) for number in numbers])


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of :data:`QUANTITIES` over the training rooms, which targets are z-scored by."""

    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @classmethod
    def of(cls, spaces: Spaces) -> Statistics:
        """Return the statistics of a training split; unknown values do not count."""
        with np.errstate(invalid="ignore"):
            mean, sd = np.nanmean(spaces.quantities, 0), np.nanstd(spaces.quantities, 0)
        return cls(tuple(map(float, mean)), tuple(float(value) if value > 0 else 1.0 for value in sd))

    def scores(self, quantities: Tensor) -> Tensor:
        """Return z-scores of quantities [rows, 3]."""
        return (quantities - torch.tensor(self.mean).to(quantities)) / torch.tensor(self.sd).to(quantities)

    def units(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return quantities [rows, 3] in their units from z-scores."""
        return np.asarray(scores * np.array(self.sd) + np.array(self.mean))
