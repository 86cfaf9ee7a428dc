"""Read a published dataset as it was unpacked and write the table of its clips, with the folds or splits of its published evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path

STAGE = Stage(name="import_dataset", environment="data", version=1, memory_mb=500, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """What the published files leave open."""

    sample_rate_hz: int = 0
    """hear: which of the rates to take; 0: 16000, or else the lowest there is."""
    folds: int = 5
    """crema_d, vocal_imitation, libricount: folds to deal the clips into, which are not published with them (HEAR: 5, 3, 5)."""
    hours: float = 5.0
    """nsynth: so much of it, three quarters of that in train and a quarter each in validation and test; 0: all of it."""
    seed: int = 0
    """nsynth and dealt folds: of the choice, which hangs on this and on a clip's name only."""

    def __post_init__(self) -> None:
        check_range("import_dataset.sample_rate_hz", self.sample_rate_hz, 0, 192_000)
        check_range("import_dataset.folds", self.folds, 3, 100)
        check_range("import_dataset.hours", self.hours, 0.0, 10_000.0)
        check_range("import_dataset.seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True)
class Request:
    """One dataset."""

    layout: Literal["hear", "esc50", "urbansound8k", "vivae", "nsynth", "crema_d", "fsd50k", "vocal_imitation", "libricount"]
    """How it lies there. ``hear``: one task as HEAR's preprocessing writes it, with HEAR's own folds or splits; the others as their
    authors publish them."""
    root: str = external_path()
    """Folder that the dataset was unpacked into; no file outside it is read or named."""
    settings: Settings = Settings()
    """What the published files leave open."""


@dataclass(frozen=True)
class Result:
    """What the dataset holds; ``clips.csv`` has a row for each clip: ``path``, ``label``, ``split``, ``fold``."""

    clips: int
    """Rows of ``clips.csv``."""
    labels: tuple[str, ...]
    """Different labels, sorted; several labels of one clip are counted one by one."""
    splits: dict[str, int]
    """Clips by split; empty where there are folds."""
    folds: dict[str, int]
    """Clips by fold; empty where there are splits."""
    missing: int
    """Clips that the dataset's own table names and whose file is not there; they stay in the table, and ``prepare`` rejects them."""
