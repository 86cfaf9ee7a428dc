"""Says of every row by whom its recording is and under which licence: by a table of its own, else by the row's own columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from core.attribution import credit
from core.audio_checks import Unusable, locate
from core.errors import InvalidValueError
from tasks.prepare.table import Row, read_cells

TABLE = "ATTRIBUTION.csv"
"""Taken where it is there and no other table is named."""
FILE_COLUMNS = ("file", "path", "file_name", "filename")


def assign(rows: Sequence[Row], root: Path, table: str) -> None:
    """Give every row its attribution, as far as it is known.

    Args:
        rows: the rows.
        root: the dataset's root.
        table: the table of attributions, relative to the root; empty: ``ATTRIBUTION.csv``, if there is one.

    Raises:
        InvalidValueError: there is no such table, or it names no files.
    """
    chosen = table or (TABLE if (root / TABLE).is_file() else "")
    told = _read(root, chosen) if chosen else {}
    names = Counter(PurePosixPath(row.path).name for row in rows)
    for row in rows:
        name = PurePosixPath(row.path).name
        # A bare name says which file is meant only where no other folder has a file of that name.
        row.attribution = told.get(row.path) or (told.get(name, {}) if names[name] == 1 else {}) or credit(row.extra)


def _read(root: Path, table: str) -> dict[str, dict[str, str]]:
    """Return what a table of attributions says, by file."""
    try:
        path = locate(root, table)
    except Unusable as error:
        where, hint = "dataset.prepare.attribution", "the table's path is relative to dataset.root"
        raise InvalidValueError(str(error), where=where, allowed="a CSV file below the root", received=table, hint=hint) from error
    cells = read_cells(path)
    column = next((name for name in FILE_COLUMNS if name in cells.columns), "")
    if not column:
        raise InvalidValueError("names no files", where=str(path), allowed=f"a column of {FILE_COLUMNS}", received=list(cells.columns))
    return {str(record[column]): credit({str(name): str(text) for name, text in record.items()}) for record in cells.to_dict("records")}
