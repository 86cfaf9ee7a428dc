"""Turn captioned clips, a CSV for each split with files named after the captions' ids, into dry mono clips of one rate and length."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError

STAGE = Stage(name="prepare_sources", environment="data", version=1, memory_mb=1000, time_limit_s=12 * 3600)


@dataclass(frozen=True)
class Settings:
    """Columns, and what the clips become."""

    id_column: str = "audiocap_id"
    """Column with the caption's id, which its sound file is named after."""
    caption_column: str = "caption"
    """Column with the caption."""
    clip_columns: tuple[str, ...] = ("youtube_id", "start_time")
    """Columns that together name a clip: rows alike in them are captions of one. A table that lacks one: files of the same bytes are."""
    endings: tuple[str, ...] = ("wav", "flac", "mp3", "ogg")
    """Kinds of files, the preferred one first; looked for as ``ROOT/SPLIT/ID.ENDING``, then ``ROOT/ID.ENDING``."""
    sample_rate_hz: int = 48_000
    """Rate of the dry clips."""
    duration_s: float = 10.0
    """Exact length of the dry clips; shorter ones are repeated, longer ones cut."""
    silence_dbfs: float = -70.0
    """Clips whose peak stays below are rejected."""
    max_reject_fraction: float = 0.2
    """The stage fails when more of the clips than this are rejected; AudioCaps loses some as videos disappear."""

    def __post_init__(self) -> None:
        where = "prepare_sources"
        check_range(f"{where}.sample_rate_hz", self.sample_rate_hz, 1000, 384_000)
        check_range(f"{where}.duration_s", self.duration_s, 0.05, 3600.0)
        check_range(f"{where}.silence_dbfs", self.silence_dbfs, -200.0, 0.0)
        check_range(f"{where}.max_reject_fraction", self.max_reject_fraction, 0.0, 1.0)
        if not self.endings:
            raise InvalidValueError("no kind of file", where=f"{where}.endings", allowed="such as wav, mp3", received=self.endings)


@dataclass(frozen=True)
class Request:
    """One dataset."""

    root: str = external_path()
    """Folder of the sound files."""
    csv: str = external_path(default="")
    """Table of the train captions."""
    val_csv: str = external_path(default="")
    """Table of the validation captions."""
    test_csv: str = external_path(default="")
    """Table of the test captions."""
    settings: Settings = Settings()
    """Columns, and what the clips become."""

    def __post_init__(self) -> None:
        if not (self.csv or self.val_csv or self.test_csv):
            raise InvalidValueError("no table", where="prepare_sources.csv, val_csv, test_csv", allowed="at least one", received="")


@dataclass(frozen=True)
class Result:
    """What the tables held; ``rejected.csv`` names every caption that has no usable clip, with the reason."""

    captions: int
    """Rows of all tables."""
    clips: int
    """Usable clips."""
    rejected: int
    """Clips that cannot be used; they stay in the manifest with their reason."""
    lost_captions: int
    """Rows without a usable clip."""
    train: int
    """Usable train clips."""
    val: int
    """Usable validation clips."""
    test: int
    """Usable test clips."""
    reasons: dict[str, int]
    """Rejected clips by reason."""
