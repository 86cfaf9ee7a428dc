"""Take in measured or simulated responses of others: WAV files with a CSV, or SOFA files, converted to AmbiX, measured and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError

STAGE = Stage(name="import_rirs", environment="rooms", version=1, memory_mb=1500, time_limit_s=4 * 3600)


@dataclass(frozen=True)
class Settings:
    """How the set is to be read. What is declared wrongly is noticed: the direct sounds must come from where the labels say."""

    order: Literal["ACN", "FuMa"] = "ACN"
    """Channels W, Y, Z, X, or W, X, Y, Z."""
    normalisation: Literal["SN3D", "N3D", "FuMa", "DISSE", "orthonormal"] = "SN3D"
    """Of the channels; ``DISSE`` for dipoles that are 1/√3 of SN3D."""
    azimuth_sign: Literal["left_positive", "right_positive"] = "left_positive"
    """The side that makes Y positive."""
    label_azimuth_sign: Literal["left_positive", "right_positive"] = "left_positive"
    """The side that a positive azimuth of the labels is on; SOFA's own are left_positive."""
    tetrahedron: bool = False
    """The channels are DISSE's four cardioids and are turned into W, Y, Z, X first."""
    table: str = "rirs.csv"
    """CSV in the folder that lists its WAV files: columns ``file`` (or ``rir_path``), azimuth_deg, elevation_deg, source_distance_m,
    area_m2; optionally room_id, split, t30_nominal_ms. Unused if the folder holds SOFA files only."""
    areas_m2: dict[str, float] = field(default_factory=dict)
    """Floor area of the rooms of SOFA files that do not say it, by the file's name without suffix."""
    split: Literal["train", "val", "test", "by_room"] = "test"
    """Split of responses that the CSV gives none; ``by_room`` deals whole rooms by the shares below."""
    val_share: float = 0.1
    """Share of rooms, with ``by_room``."""
    test_share: float = 0.1
    """Share of rooms, with ``by_room``."""
    sample_rate_hz: int = 48_000
    """Rate to resample to."""
    noisy: bool = True
    """Recordings, which end in noise: the T30 is measured up to where the response sinks into it."""
    tolerance_deg: float = 25.0
    """Largest median angle between labels and direct sounds."""
    max_reject_fraction: float = 0.2
    """The stage fails when more responses than this are unusable."""
    seed: int = 42
    """Of ``by_room``."""

    def __post_init__(self) -> None:
        check_range("import_rirs.sample_rate_hz", self.sample_rate_hz, 8000, 192_000)
        check_range("import_rirs.tolerance_deg", self.tolerance_deg, 0.1, 180.0)
        check_range("import_rirs.max_reject_fraction", self.max_reject_fraction, 0.0, 1.0)
        check_range("import_rirs.val_share", self.val_share, 0.0, 1.0)
        check_range("import_rirs.test_share", self.test_share, 0.0, 1.0)
        if self.val_share + self.test_share > 1:
            received = {"val_share": self.val_share, "test_share": self.test_share}
            raise InvalidValueError("more than everything", where="import_rirs.val_share", allowed="at most 1 in all", received=received)


@dataclass(frozen=True)
class Request:
    """One set of responses."""

    source: str = external_path()
    """Folder with the WAV or SOFA files."""
    settings: Settings = field(default_factory=Settings)
    """How it is to be read."""

    def __post_init__(self) -> None:
        if not self.source:
            raise InvalidValueError("missing", where="import_rirs.source", allowed="a folder", received=self.source)


@dataclass(frozen=True)
class Result:
    """What came in."""

    responses: int
    """Responses in the catalogue."""
    rooms: int
    """Different rooms."""
    rejected: int
    """Unusable ones; ``catalogue.json`` says which and why."""
    direction_error_deg: float
    """Median angle between labels and direct sounds."""
