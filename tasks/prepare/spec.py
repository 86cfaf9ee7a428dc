"""Turn a CSV, or one for each split, and a folder of sounds into a checked manifest; every row that cannot be used keeps its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError

OF_THE_TABLE = (
    "path_column", "label_column", "split_column", "fold_column", "train_folds", "val_folds", "test_folds", "attribution", "val_share",
    "test_share", "split_seed", "label_separator", "max_reject_fraction",
)  # fmt: skip
"""Settings that say how rows are read; how a sound is decoded hangs on none of them."""
STAGE = Stage(
    name="prepare", environment="data", version=1, memory_mb=1000, time_limit_s=6 * 3600,
    row_inputs=("csv", "root", "val_csv", "test_csv", *(f"settings.{name}" for name in OF_THE_TABLE)),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Columns, splits and limits."""

    path_column: str = "path"
    """Column with the file, relative to the root."""
    label_column: str = "label"
    """Column with the class; kept exactly as it is written."""
    split_column: str = ""
    """Column with train, val or test. Empty: the split comes from the fold, from the tables where there are several, from a column
    ``split_name`` (Synthio's tables have it) that names more than one split, or else it is drawn."""
    fold_column: str = ""
    """Column with the fold; needed with ``train_folds``, ``val_folds``, ``test_folds``."""
    train_folds: tuple[str, ...] = ()
    """Folds that the gold subset is drawn from."""
    val_folds: tuple[str, ...] = ()
    """Folds that models are selected on."""
    test_folds: tuple[str, ...] = ()
    """Folds that are scored once."""
    attribution: str = ""
    """Table that says by whom each file is and under which licence, relative to the root, with a column ``file`` or ``path``: the table's
    path, or where names are unique the file's name; and ``licence``, ``author``, ``title``, ``source``, ``licence_url``, as far as known.
    Empty: ``ATTRIBUTION.csv``, where there is one, and such columns of the table. It goes with every clip that is made from these."""
    val_share: float = 0.2
    """Share of each class drawn for validation when the table has neither split nor fold, or when there is no table for it."""
    test_share: float = 0.2
    """Share of each class drawn for the test."""
    split_seed: int = 0
    """Seed of that draw."""
    label_separator: Literal["", ";", ","] = ""
    """What separates the labels of one clip, for multi-label. Such labels stay as they are written; a row with an empty label among them,
    or the same one twice, is rejected, and a drawn split pays no regard to classes. Empty: one label a clip."""
    min_duration_s: float = 0.1
    """Shorter clips are rejected."""
    max_duration_s: float = 60.0
    """Longer clips are rejected, and never decoded beyond this."""
    silence_dbfs: float = -70.0
    """Clips whose peak stays below are rejected."""
    clipped_share: float = 0.02
    """Clips with a larger share of samples in runs at full scale are rejected."""
    max_reject_fraction: float = 0.5
    """The stage fails when more of the rows than this are rejected."""

    def __post_init__(self) -> None:
        for name in ("val_share", "test_share", "max_reject_fraction", "clipped_share"):
            check_range(f"prepare.{name}", getattr(self, name), 0.0, 1.0)
        check_range("prepare.min_duration_s", self.min_duration_s, 0.0, self.max_duration_s)
        folds = [*self.train_folds, *self.val_folds, *self.test_folds]
        if len(set(folds)) != len(folds):
            raise InvalidValueError("a fold is in two splits", where="prepare folds", allowed="disjoint folds", received=folds)
        if bool(folds) != bool(self.fold_column):
            raise InvalidValueError("folds and fold_column belong together", where="prepare.fold_column", received=self.fold_column)
        if self.fold_column and self.split_column:
            raise InvalidValueError("give one of them", where="prepare.split_column, fold_column", received=self.split_column)


@dataclass(frozen=True)
class Request:
    """One dataset."""

    csv: str = external_path()
    """Table of clips."""
    root: str = external_path()
    """Folder that the table's paths are relative to."""
    settings: Settings = Settings()
    """Columns, splits and limits."""
    val_csv: str = external_path(default="")
    """Table of the validation clips, where every split has its own; ``csv`` is then the train split. Empty, with a ``test_csv``: the
    validation clips are drawn from ``csv``, class by class."""
    test_csv: str = external_path(default="")
    """Table of the test clips, likewise."""

    def __post_init__(self) -> None:
        if self.val_csv and not self.test_csv:
            hint = "name the table of the test clips, too, or give one table with a split column"
            raise InvalidValueError("missing", where="prepare.test_csv", allowed="a CSV file", received=self.test_csv, hint=hint)
        if self.test_csv and self.settings.fold_column:
            hint = "leave out the folds, or the further tables"
            raise InvalidValueError(
                "both say the split", where="prepare.fold_column, test_csv", received=self.settings.fold_column, hint=hint
            )


@dataclass(frozen=True)
class Result:
    """What the tables held."""

    rows: int
    """Rows of all tables."""
    accepted: int
    """Usable clips."""
    rejected: int
    """Rows that cannot be used; see ``rejected.csv``."""
    train: int
    """Usable train clips: the pool."""
    val: int
    """Usable validation clips."""
    test: int
    """Usable test clips."""
    classes: tuple[str, ...]
    """Labels of the usable clips, sorted; multi-label: one by one."""
    reasons: dict[str, int]
    """Rejected rows by reason."""
    splits_from: str
    """Where the splits come from: ``column NAME``, ``folds``, ``tables``, ``tables, val drawn from train`` or ``drawn``."""
