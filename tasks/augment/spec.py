"""Make N altered copies per gold clip by a classical method; the baselines of the Synthio table, and rooms as one of our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError

STAGE = Stage(name="augment", environment="augment", version=1, memory_mb=800, time_limit_s=12 * 3600, sharded=True, row_inputs=("clips",))

Method = Literal["random_noise", "pitch_shift", "audiomentations", "room"]


@dataclass(frozen=True)
class Settings:
    """How to alter the clips."""

    method: Method = "audiomentations"
    """``random_noise``: white noise at a random SNR; ``pitch_shift``: by a random interval, the duration kept; ``audiomentations``: a
    random chain of gain, noise, filters, time stretch, pitch shift and time shift; ``room``: an exponentially decaying room response."""
    num_iters: int = 2
    """Copies per gold clip."""
    seed: int = 0
    """Every copy's seed is derived from this, its gold clip and its number."""
    min_snr_db: float = 5.0
    """Lowest signal-to-noise ratio of ``random_noise``."""
    max_snr_db: float = 30.0
    """Highest signal-to-noise ratio of ``random_noise``."""
    max_semitones: float = 4.0
    """Largest interval of ``pitch_shift``, up or down."""
    min_t60_s: float = 0.1
    """Shortest reverberation time of ``room``."""
    max_t60_s: float = 1.0
    """Longest reverberation time of ``room``."""

    def __post_init__(self) -> None:
        check_range("augment.num_iters", self.num_iters, 1, 1000)
        check_range("augment.max_semitones", self.max_semitones, 0.0, 24.0)
        check_range("augment.min_t60_s", self.min_t60_s, 0.01, 20.0)
        for low, high, name in ((self.min_snr_db, self.max_snr_db, "snr_db"), (self.min_t60_s, self.max_t60_s, "t60_s")):
            if low > high:
                raise InvalidValueError("above the maximum", where=f"augment.min_{name}", allowed=f"at most {high}", received=low)


@dataclass(frozen=True)
class Request:
    """One set of altered copies."""

    clips: str
    """Folder of the gold clips."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""
    settings: Settings = Settings()
    """How to alter them."""

    def __post_init__(self) -> None:
        check_range("augment.shards", self.shards, 1, 100_000)


@dataclass(frozen=True)
class Result:
    """What was made."""

    clips: int
    """Copies made."""
    rejected: int
    """Copies among them that are silent or not finite; they stay in the manifest with their reason."""
    seconds: float
    """Total duration."""
