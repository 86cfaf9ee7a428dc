"""Precompute scenes: FOA sound, intensity vectors and an index; or mono copies of train clips in rooms, a source for synthio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError

STAGE = Stage(
    name="spatialise", environment="train", version=1, memory_mb=3000, time_limit_s=24 * 3600, uses_gpu=True, sharded=True,
    row_inputs=("clips",),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What to write."""

    mode: Literal["foa", "mono"] = "foa"
    """``foa``: scenes with their index; ``mono``: W of train clips in rooms as clips of their own; label, rate and length stay."""
    duration_s: float = 10.0
    """Length of a scene (``foa``); shorter clips are repeated, longer ones cut. Scenes are at the catalogue's sample rate."""
    store: Literal["both", "foa", "features", "none"] = "both"
    """What is kept of a scene beside its row; ``none``: the index only, for rendering on demand."""
    form: Literal["wav", "flac"] = "wav"
    """FOA as float32 WAV, or as FLAC of 24 bit, which needs a level policy other than ``raw``."""
    feature_format: Literal["float32", "float16"] = "float32"
    """Number format of stored intensity vectors."""
    norm: Literal["active", "energy"] = "active"
    """How intensity vectors are normalised: by ‖active‖ (DISSE) or by the energy (DCASE), which bounds both."""
    mels: int = 0
    """Mel bands of the intensity vectors, 0 for all 201 frequencies."""
    level: Literal["raw", "peak", "rms", "lufs"] = "raw"
    """``raw``: 1/distance as simulated; ``peak``: turned down where a peak would pass 0.98; ``rms``, ``lufs``: brought to a target.
    With ``mono``, ``raw`` counts as ``peak``: clips are written with 16 bit."""
    target_db: float = -26.0
    """Target of ``rms`` (dB full scale) and ``lufs`` (LUFS), over W."""
    noise: bool = False
    """Mix diffuse noise in."""
    min_snr_db: float = 5.0
    """Lowest ratio of signal to noise."""
    max_snr_db: float = 40.0
    """Highest ratio."""
    stops: int = 1
    """Places of its room that a source moves through at an even pace, cross-faded, beginning at the scene's own; 1: it rests."""
    others: int = 0
    """Further sources of a scene: clips of the same split at other places of the same room. Caption and labels speak of the first one;
    the index names the others."""
    others_min_db: float = -12.0
    """Lowest gain of a further source, before level and noise."""
    others_max_db: float = 0.0
    """Highest gain."""
    others_onset_share: float = 0.5
    """Share of the scene within which a further source begins."""
    trim_delay: bool = True
    """Cut the simulator's own delay off; DISSE leaves it."""
    pairing: Literal["grid", "draw"] = "grid"
    """Without a table of scenes: every clip with every RIR of its split, or ``per_clip`` of them."""
    per_clip: int = 2
    """RIRs a clip, for ``draw``; copies a clip, for ``mono``."""
    split: Literal["", "train", "val", "test"] = ""
    """Without a table of scenes: only clips of this split."""
    seed: int = 42
    """Of pairs, captions, ratios and noise."""
    max_gb: float = 200.0
    """The stage stops before it starts when it would write more than this."""
    max_reject_fraction: float = 0.1
    """The stage fails when more of the clips than this cannot be used."""

    def __post_init__(self) -> None:
        where = "spatialise"
        for name, low, high in (
            ("duration_s", 0.05, 3600.0), ("mels", 0, 201), ("target_db", -70.0, 0.0), ("min_snr_db", -20.0, self.max_snr_db),
            ("max_snr_db", -20.0, 120.0), ("stops", 1, 64), ("others", 0, 16),
            ("others_min_db", -120.0, self.others_max_db), ("others_max_db", -120.0, 60.0), ("others_onset_share", 0.0, 1.0),
            ("per_clip", 1, 1_000_000), ("max_gb", 0.0, 1e6), ("max_reject_fraction", 0.0, 1.0),
        ):  # fmt: skip
            check_range(f"{where}.{name}", getattr(self, name), low, high)
        if (self.stops > 1 or self.others) and (self.mode == "mono" or self.store == "none"):
            raise InvalidValueError(
                "company is written, not rendered on demand", where=f"{where}.stops, {where}.others",
                allowed="mode=foa, store other than none", received={"mode": self.mode, "store": self.store},
            )  # fmt: skip
        if self.mode == "foa" and self.form == "flac" and self.level == "raw" and self.store in ("both", "foa"):
            hint = "sources nearer than a metre pass full scale, which FLAC would clip; take level=peak or form=wav"
            raise InvalidValueError("cannot hold raw levels", where=f"{where}.form", allowed="wav", received=self.form, hint=hint)


@dataclass(frozen=True)
class Request:
    """One set of scenes."""

    clips: str
    """Folder of the dry clips' manifest."""
    catalogue: str
    """Folder of the room impulse responses' catalogue."""
    scenes: str = ""
    """Folder of ``caption_scenes``; empty: pairs and template captions are made here, with seed and pairing of the settings."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""
    settings: Settings = Settings()
    """What to write."""

    def __post_init__(self) -> None:
        check_range("spatialise.shards", self.shards, 1, 100_000)
        if self.scenes and self.settings.mode == "mono":
            raise InvalidValueError(
                "mono copies are drawn", where="spatialise.scenes", allowed="empty with mode=mono", received=self.scenes
            )


@dataclass(frozen=True)
class Result:
    """What was written."""

    clips: int
    """Scenes, or copies, rejected ones included."""
    rejected: int
    """Those that cannot be used; they stay in the index, or the manifest, with their reason."""
    seconds: float
    """Total duration."""
    gigabytes: float = 0.0
    """What scenes take on disk, as estimated beforehand."""
    louder_than_full_scale: int = 0
    """Scenes with a peak above 1, which only float32 files hold."""
