"""Reads the CSVs: columns checked against a schema, every bad row named with its line, column and reason."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from core.errors import InvalidValueError
from tasks.prepare.spec import Settings

HINT = "write a header path,label and a row for each clip; docs/first_hour.md has an example"
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test", "eval": "test"}


SEED_SPLIT_COLUMN = "split_name"
"""Synthio's tables name their split in it, and their dataset in ``dataset``."""


@dataclass
class Row:
    """One row of a table; ``reason`` is set when the table alone shows that it cannot be used."""

    line: int
    path: str
    label: str
    split: str
    fold: str
    reason: str = ""
    column: str = ""
    detail: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    table: str = ""
    attribution: dict[str, str] = field(default_factory=dict)
    """By whom the recording is, under which licence, and where it comes from; as far as known."""

    @property
    def place(self) -> tuple[str, int]:
        """Table and line, which no two rows share."""
        return self.table, self.line

    def reject(self, reason: str, column: str, detail: str) -> None:
        """Mark the row; the first reason stays."""
        if not self.reason:
            self.reason, self.column, self.detail = reason, column, detail


@dataclass(frozen=True)
class Source:
    """One table to read."""

    path: Path
    split: str = ""
    """The split that all its rows belong to; empty: the table says, or the split is drawn."""


def read_tables(sources: Sequence[Source], root: Path, settings: Settings) -> tuple[list[Row], str]:
    """Read the tables; every row comes back, bad ones with their reason.

    Args:
        sources: the one table, or one for each split.
        root: folder that paths are relative to; absolute paths below it are made relative.
        settings: columns and splits.

    Returns:
        the rows, and the name of the split column, empty where there is none.

    Raises:
        InvalidValueError: no table, no rows, the same table twice, or a needed column is missing; with the columns and the nearest name.
    """
    if len({source.path.resolve() for source in sources}) < len(sources):
        given = [str(source.path) for source in sources]
        raise InvalidValueError("the same table twice", where="dataset.csv, val_csv, test_csv", allowed="different files", received=given)
    names = [source.path.name for source in sources]
    unique = len(set(names)) == len(names)
    rows: list[Row] = []
    split_column = ""
    for source in sources:
        table = read_cells(source.path)
        split_column = _check_columns(table, source, settings)
        name = source.path.name if unique else f"{source.path.name} ({source.split})"
        found = [
            _row(number + 2, record, settings, split_column, source.split, name) for number, record in enumerate(table.to_dict("records"))
        ]
        for index, column, check in _schema_failures(table, settings):
            found[index].reject("bad_cell", column, f"fails the check {check}")
        for row in found:
            row.path = _relative(row.path, root)
        _mark_duplicates(found, settings)
        rows += found
    return rows, split_column


def _check_columns(table: pd.DataFrame, source: Source, settings: Settings) -> str:
    """Refuse a table without rows or without a needed column; return its split column, empty where there is none."""
    # A table that belongs to one split as a whole need not say so again in a column.
    wanted_split = "" if source.split else settings.split_column
    needed = [settings.path_column, settings.label_column, *filter(None, (wanted_split, settings.fold_column))]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        close = {name: difflib.get_close_matches(name, list(table.columns), 1, 0.4) for name in missing}
        hint = "; ".join(f"did you mean {found[0]!r} for {name!r}?" for name, found in close.items() if found)
        raise InvalidValueError(
            f"columns missing: {missing}", where=str(source.path), allowed=f"columns {needed}", received=list(table.columns), hint=hint
        )
    if table.empty:
        raise InvalidValueError("no rows", where=str(source.path), allowed="at least one row below the header", received="none", hint=HINT)
    if settings.split_column in table.columns:
        return settings.split_column
    if settings.split_column or settings.fold_column or SEED_SPLIT_COLUMN not in table.columns:
        return ""
    # Synthio writes "train" into every row; alone, a column that names one split divides nothing.
    several = table[SEED_SPLIT_COLUMN].str.strip().str.lower().nunique() > 1
    return SEED_SPLIT_COLUMN if source.split or several else ""


def _relative(path: str, root: Path) -> str:
    """Return an absolute path below the root relative to it, any other as it is: a manifest names no path of a machine."""
    for base in (root, root.resolve()):
        if Path(path).is_absolute() and Path(path).is_relative_to(base):
            return Path(path).relative_to(base).as_posix()
    return path


def read_cells(csv: Path) -> pd.DataFrame:
    """Return a CSV file's cells as text, none of them missing.

    Raises:
        InvalidValueError: it is empty or no UTF-8 CSV.
    """
    try:
        return pd.read_csv(csv, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    except pd.errors.EmptyDataError as error:
        raise InvalidValueError("the file is empty", where=str(csv), allowed="a header and rows", received="no bytes", hint=HINT) from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise InvalidValueError(f"cannot be read: {error}", where=str(csv), allowed="UTF-8 CSV", received=type(error).__name__) from error


def _row(line: int, record: dict[str, str], settings: Settings, split_column: str, table_split: str, table: str) -> Row:
    """Return one row; a split that its cell names must be known, and be the table's where the table has one."""
    known = {settings.path_column, settings.label_column, split_column, settings.fold_column}
    split, fold = record.get(split_column, ""), record.get(settings.fold_column, "")
    row = Row(line, record[settings.path_column], record[settings.label_column], table_split, fold, table=table)
    row.extra = {name: value for name, value in record.items() if name not in known and isinstance(value, str)}
    if split_column and not (table_split and not split.strip()):
        row.split = SPLIT_NAMES.get(split.strip().lower(), "")
        if not row.split:
            row.reject("unknown_split", split_column, f"{split!r}; allowed: {sorted(SPLIT_NAMES)}")
        elif table_split and row.split != table_split:
            row.reject("split_of_another_table", split_column, f"{split!r} in the table of the {table_split} clips")
            row.split = table_split
    elif settings.fold_column:
        folds = {"train": settings.train_folds, "val": settings.val_folds, "test": settings.test_folds}
        row.split = next((name for name, members in folds.items() if fold.strip() in members), "")
        if not row.split:
            row.reject("unused_fold", settings.fold_column, f"fold {fold!r} is in none of the configured folds")
    _check_labels(row, settings)
    return row


def _check_labels(row: Row, settings: Settings) -> None:
    """Reject a multi-label cell that cannot be taken apart: an empty label, or one label twice."""
    parts = [part.strip() for part in row.label.split(settings.label_separator)] if settings.label_separator else []
    if row.label.strip() and not all(parts):
        row.reject("bad_labels", settings.label_column, f"an empty label between separators {settings.label_separator!r} in {row.label!r}")
    elif len(set(parts)) < len(parts):
        row.reject("bad_labels", settings.label_column, f"the same label twice in {row.label!r}")


def _schema_failures(table: pd.DataFrame, settings: Settings) -> list[tuple[int, str, str]]:
    """Return (row index, column, failed check) for every cell that breaks the schema."""
    filled = pa.Check(lambda cells: cells.str.strip().str.len() > 0, name="not_empty")
    printable = pa.Check(lambda cells: ~cells.str.contains(r"[\x00-\x1f]", regex=True), name="no_control_characters")
    columns = {name: pa.Column(str, [filled, printable], coerce=True) for name in (settings.path_column, settings.label_column)}
    try:
        pa.DataFrameSchema(columns).validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        return [(int(case.index), str(case.column), str(case.check)) for case in cases.itertuples(index=False) if case.index is not None]
    return []


def _mark_duplicates(rows: list[Row], settings: Settings) -> None:
    """Keep a table's first row of a path; the same file twice would count twice, and could sit in two splits."""
    first: dict[str, int] = {}
    for row in rows:
        if row.path in first:
            row.reject("duplicate_path", settings.path_column, f"the same path as line {first[row.path]}")
        first.setdefault(row.path, row.line)
