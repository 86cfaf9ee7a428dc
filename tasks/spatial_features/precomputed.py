"""Scenes of a folder of ``spatialise``: read from its files, or rendered on demand where it holds the index alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from core import audio
from core.errors import InvalidValueError
from tasks.spatial.catalogue import Catalogue, open_catalogue
from tasks.spatial.dry import load_dry
from tasks.spatial_features.intensity import Intensity
from tasks.spatial_features.levels import Level
from tasks.spatial_features.rendering import Rendering, load_rirs, render


class Precomputed:
    """The usable scenes of an index.

    Args:
        folder: a ``spatialise`` output of the mode ``foa``.
        resolve: turns a path relative to the data root into one that can be opened (``context.resolve``).
    """

    def __init__(self, folder: Path, resolve: Callable[[str], Path]) -> None:
        index = pd.read_parquet(folder / "index.parquet")
        self.index = index[index["status"] == "accepted"].reset_index(drop=True)
        """One row a scene: ids, captions, labels, gains."""
        self.meta = json.loads((folder / "index.json").read_text())
        self.resolve = resolve
        own = self.meta["settings"]
        noise = (own["min_snr_db"], own["max_snr_db"]) if own["noise"] else None
        self.rendering = Rendering(int(self.meta["sample_rate_hz"]), Level(own["level"], own["target_db"], noise, own["seed"]))
        self.intensity = Intensity(self.rendering.sample_rate_hz, own["norm"], mels=own["mels"])
        self._catalogue: Catalogue | None = None

    def __len__(self) -> int:
        return len(self.index)

    def foa(self, place: int) -> Tensor:
        """Return a scene [4, samples]: its file, or rendered from clip and RIR; equal within 1e-6 of full scale for float files."""
        row = self.index.iloc[place]
        if not row["foa_path"]:
            return self._rendered(place)
        samples, rate_hz = audio.read(self.resolve(str(row["foa_path"])))
        if samples.shape[0] != 4 or rate_hz != self.rendering.sample_rate_hz:
            allowed = f"4 channels at {self.rendering.sample_rate_hz} Hz"
            raise InvalidValueError("no scene of this set", where=str(row["foa_path"]), allowed=allowed, received=(len(samples), rate_hz))
        return torch.from_numpy(samples)

    def features(self, place: int) -> tuple[Tensor, Tensor]:
        """Return active and reactive intensity [3, bins, frames]: the file's, or worked out from the scene."""
        path = str(self.index["feat_path"].iloc[place])
        if not path:
            with torch.no_grad():
                return self.intensity(self.foa(place))
        with np.load(self.resolve(path), allow_pickle=False) as stored:
            return torch.from_numpy(stored["i_act"]).float(), torch.from_numpy(stored["i_rea"]).float()

    def _rendered(self, place: int) -> Tensor:
        if self._catalogue is None:
            self._catalogue = open_catalogue(self.resolve(self.meta["catalogue"]))
        row, own, rate_hz = self.index.iloc[place], self.meta["settings"], self.rendering.sample_rate_hz
        number = int(np.flatnonzero(self._catalogue.table["spatial_id"].to_numpy() == row["spatial_id"])[0])
        dry = torch.from_numpy(load_dry(self.resolve(str(row["clip_path"])), rate_hz, own["duration_s"]))
        with torch.no_grad():
            heard, _ = render(dry[None], load_rirs(self._catalogue, [number], own["trim_delay"]), [[row["scene_id"]]], self.rendering)
        return heard[0, 0]
