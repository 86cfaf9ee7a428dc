"""Turn a grid of clips into log-mel pictures, once, and deal its cells to train, validation and test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="featurise", environment="train", version=1, memory_mb=1500, time_limit_s=4 * 3600, sharded=True)


@dataclass(frozen=True)
class Settings:
    """The front-end, the normalisation, and the split. The first four are librosa's defaults."""

    n_fft: int = 2048
    """Window and transform length, in samples."""
    hop: int = 512
    """Samples between frames."""
    mels: int = 128
    """Mel bands; a multiple of 8, which is what the networks halve three times."""
    power: float = 2.0
    """Exponent of the magnitude: 2 for power, 1 for magnitude."""
    f_min_hz: float = 0.0
    """Lower edge of the first band."""
    f_max_hz: float | None = None
    """Upper edge of the last band; none: half the sample rate."""
    normalisation: Literal["log_db", "global_max", "legacy_frame_max"] = "log_db"
    """``log_db``: dB re a fixed reference, from ``floor_db`` to 0 dB onto 0 … 1; ``global_max``: divided by the greatest value of the train
    clips (others may exceed 1); ``legacy_frame_max``: each frame divided by its own maximum, as published, which erases amplitude."""
    floor_db: float = -80.0
    """What ``log_db`` cuts off."""
    reference_power: float | None = None
    """Mel power of 0 dB; none: (Σ window)^power times the highest mel filter, which clips within full scale stay below."""
    split_by: tuple[str, ...] = ("waveform", "frequency")
    """Factors whose combinations are dealt as a whole: by default all amplitudes of a tone lie in one split, and no tone in two."""
    legacy_split: bool = False
    """Deal single rows 80 : 20 to train and test as the published code does (scikit-learn's ``train_test_split``, random_state 42), which
    leaks near-duplicates; the validation clips are then drawn from the train rows."""
    val_fraction: float = 0.1
    """Share of the combinations (with ``legacy_split``: of the train rows) that validate."""
    test_fraction: float = 0.1
    """Share of the combinations that test."""
    seed: int = 0
    """Of the split."""
    batch_clips: int = runtime_setting(default=64)
    """Clips transformed at a time; does not change them."""

    def __post_init__(self) -> None:
        where = "featurise"
        check_range(f"{where}.n_fft", self.n_fft, 16, 65_536)
        check_range(f"{where}.hop", self.hop, 1, self.n_fft)
        check_range(f"{where}.mels", self.mels, 8, 1024)
        check_range(f"{where}.power", self.power, 0.1, 4.0)
        check_range(f"{where}.floor_db", self.floor_db, -200.0, -10.0)
        check_range(f"{where}.val_fraction", self.val_fraction, 0.0, 0.5)
        check_range(f"{where}.test_fraction", self.test_fraction, 0.0, 0.5)
        check_range(f"{where}.batch_clips", self.batch_clips, 1, 100_000)
        if self.reference_power is not None:
            check_range(f"{where}.reference_power", self.reference_power, 1e-20, 1e20)
        if self.mels % 8:
            hint = "the networks halve the picture three times"
            raise InvalidValueError("not a multiple of 8", where=f"{where}.mels", allowed="8, 16, 24 …", received=self.mels, hint=hint)
        if not self.split_by or len(set(self.split_by)) < len(self.split_by):
            raise InvalidValueError("unclear", where=f"{where}.split_by", allowed="one factor or more, each once", received=self.split_by)


@dataclass(frozen=True)
class Request:
    """The features of one grid."""

    grid: str
    """Folder of the grid, relative to the data root."""
    settings: Settings = field(default_factory=Settings)
    """How."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""

    def __post_init__(self) -> None:
        check_range("featurise.shards", self.shards, 1, 100_000)


@dataclass(frozen=True)
class Result:
    """What was made."""

    clips: int
    """Clips, one picture each."""
    mels: int
    """Height of a picture."""
    frames: int
    """Width of a picture."""
    train: int
    """Clips that train."""
    val: int
    """Clips that validate."""
    test: int
    """Clips that test."""
    clipped: int
    """Values above the reference, cut to 1 (``log_db``)."""
    flagged: tuple[str, ...]
    """What these features cannot show; also in ``features.json``."""
