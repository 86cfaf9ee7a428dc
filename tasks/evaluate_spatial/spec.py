"""Score a spatial audio–text model on a grid of held-out clips × RIRs, or a cache of embeddings that someone else made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError

STAGE = Stage(name="evaluate_spatial", environment="train", version=1, memory_mb=3000, time_limit_s=12 * 3600, cpu_threads=1, uses_gpu=True)


@dataclass(frozen=True)
class Recordings:
    """How real first-order recordings are to be read; as it stands, AmbiX."""

    order: Literal["ACN", "FuMa"] = "ACN"
    """Channels W, Y, Z, X, or W, X, Y, Z."""
    normalisation: Literal["SN3D", "N3D", "FuMa", "DISSE", "orthonormal"] = "SN3D"
    """Of the channels; recordings of DCASE's challenges are ACN with SN3D."""
    azimuth_sign: Literal["left_positive", "right_positive"] = "left_positive"
    """The side that makes Y positive."""
    label_azimuth_sign: Literal["left_positive", "right_positive"] = "left_positive"
    """The side that a positive azimuth of the table is on."""


@dataclass(frozen=True)
class Settings:
    """The grid, and how ties count."""

    split: Literal["val", "test"] = "test"
    """Of clips and rooms."""
    sources: int = 96
    """Clips of the grid, at most; taken from the labels in turn."""
    spaces: int = 96
    """RIRs of the grid, at most."""
    clip_ids: tuple[str, ...] = ()
    """These clips, in this order, instead."""
    spatial_ids: tuple[str, ...] = ()
    """These RIRs, in this order, instead."""
    seed: int = 42
    """Of the captions' words and templates."""
    ties: Literal["expected", "optimistic"] = "expected"
    """How items as near as the first positive are ranked: at random, or behind it as in DISSE's code."""
    probes: bool = True
    """Ask for attributes in words, and swap directions."""
    recordings: Recordings = Recordings()
    """How real recordings are to be read."""

    def __post_init__(self) -> None:
        for name in ("sources", "spaces"):
            check_range(f"evaluate_spatial.{name}", getattr(self, name), 2, 1_000_000)
        check_range("evaluate_spatial.seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True)
class Request:
    """One model on one grid, or one cache."""

    model: str = ""
    """Folder of train_spatial."""
    clips: str = ""
    """Folder with a manifest of dry clips."""
    catalogue: str = ""
    """Folder with a catalogue of RIRs."""
    embeddings: str = external_path(default="")
    """Instead of all these: an ``.npz`` file with audio_source, audio_spatial, text_source, text_spatial, source_id, spatial_id."""
    recordings: str = external_path(default="")
    """Folder of real first-order recordings that are scored besides, listed in its ``recordings.csv``: file, azimuth_deg, elevation_deg;
    start_s and duration_s where an event is part of a file; source_distance_m, area_m2, fullband_T30_ms where known."""
    settings: Settings = Settings()
    """The grid, and how ties count."""

    def __post_init__(self) -> None:
        named = [bool(self.model), bool(self.clips), bool(self.catalogue)]
        if not (all(named) or (self.embeddings and not any(named))):
            received = {"model": self.model, "clips": self.clips, "catalogue": self.catalogue, "embeddings": self.embeddings}
            allowed = "model, clips and catalogue, or embeddings alone"
            raise InvalidValueError("not clear what to score", where="evaluate_spatial", allowed=allowed, received=received)
        if self.recordings and self.embeddings:
            where = "evaluate_spatial.recordings"
            raise InvalidValueError("a cache hears nothing", where=where, allowed="empty with embeddings", received=self.recordings)


@dataclass(frozen=True)
class Result:
    """The main figures; R@1 are means over both directions between text and sound. ``scores.json`` has them all."""

    items: int
    """Of the grid."""
    sources: int
    """Clips in it."""
    spaces: int
    """RIRs in it."""
    src_r1: float
    """Clips by source embedding."""
    src_lift: float
    """The same over chance."""
    spa_r1: float
    """RIRs by space embedding."""
    spa_lift: float
    """The same over chance."""
    x_src_lift: float
    """Clips by space embedding over chance: what it gives away; 1 is nothing."""
    x_spa_lift: float
    """RIRs by source embedding over chance."""
    both_r1: float
    """Clip and RIR by both embeddings together."""
    direction_median_deg: float | None = None
    """Angle between predicted and true direction. None for a cache."""
    distance_mae_m: float | None = None
    """Mean absolute error."""
    area_mae_m2: float | None = None
    """Mean absolute error."""
    t30_mae_ms: float | None = None
    """Mean absolute error."""
    recordings: int = 0
    """Real recordings that were scored."""
    recordings_direction_deg: float | None = None
    """Median angle on them."""
    unreadable: int = 0
    """Clips of the grid that could not be decoded and are left out."""
