"""Reads the CSV: columns checked against a schema, every bad row named with its line, column and reason."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from core.errors import InvalidValueError
from tasks.prepare.spec import Settings

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test", "eval": "test"}


@dataclass
class Row:
    """One row of the table; ``reason`` is set when the table alone shows that it cannot be used."""

    line: int
    path: str
    label: str
    split: str
    fold: str
    reason: str = ""
    column: str = ""
    detail: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    def reject(self, reason: str, column: str, detail: str) -> None:
        """Mark the row; the first reason stays."""
        if not self.reason:
            self.reason, self.column, self.detail = reason, column, detail


def read_rows(csv: Path, settings: Settings) -> list[Row]:
    """Read the table; every row comes back, bad ones with their reason.

    Raises:
        InvalidValueError: no table, no rows, or a needed column is missing; with the columns found and the nearest name.
    """
    table = _read(csv)
    needed = [settings.path_column, settings.label_column, *filter(None, (settings.split_column, settings.fold_column))]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        close = {name: difflib.get_close_matches(name, list(table.columns), 1, 0.4) for name in missing}
        hint = "; ".join(f"did you mean {found[0]!r} for {name!r}?" for name, found in close.items() if found)
        raise InvalidValueError(
            f"columns missing: {missing}", where=str(csv), allowed=f"columns {needed}", received=list(table.columns), hint=hint
        )
    if table.empty:
        raise InvalidValueError("no rows", where=str(csv), allowed="at least one row below the header", received="none")
    rows = [_row(number + 2, record, settings) for number, record in enumerate(table.to_dict("records"))]
    for index, column, check in _schema_failures(table, settings):
        rows[index].reject("bad_cell", column, f"fails the check {check}")
    _mark_duplicates(rows, settings)
    return rows


def _read(csv: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(csv, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    except pd.errors.EmptyDataError as error:
        raise InvalidValueError("the file is empty", where=str(csv), allowed="a header and rows", received="no bytes") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise InvalidValueError(f"cannot be read: {error}", where=str(csv), allowed="UTF-8 CSV", received=type(error).__name__) from error


def _row(line: int, record: dict[str, str], settings: Settings) -> Row:
    known = {settings.path_column, settings.label_column, settings.split_column, settings.fold_column}
    split, fold = record.get(settings.split_column, ""), record.get(settings.fold_column, "")
    row = Row(line, record[settings.path_column], record[settings.label_column], "", fold)
    row.extra = {name: value for name, value in record.items() if name not in known and isinstance(value, str)}
    if settings.split_column:
        row.split = SPLIT_NAMES.get(split.strip().lower(), "")
        if not row.split:
            row.reject("unknown_split", settings.split_column, f"{split!r}; allowed: {sorted(SPLIT_NAMES)}")
    elif settings.fold_column:
        folds = {"train": settings.train_folds, "val": settings.val_folds, "test": settings.test_folds}
        row.split = next((name for name, members in folds.items() if fold.strip() in members), "")
        if not row.split:
            row.reject("unused_fold", settings.fold_column, f"fold {fold!r} is in none of the configured folds")
    return row


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
    """Keep the first row of a path; the same file twice would count twice, and could sit in two splits."""
    first: dict[str, int] = {}
    for row in rows:
        if row.path in first:
            row.reject("duplicate_path", settings.path_column, f"the same path as line {first[row.path]}")
        first.setdefault(row.path, row.line)
