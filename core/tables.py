"""Tables as text, as Markdown, for LaTeX, CSV and JSON; a table is titles by column name and rows of ready text by the same names."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import atomic

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "…": r"\ldots{}", "–": "--", "−": "$-$", "Δ": r"$\Delta$", "×": r"$\times$",
    "±": r"$\pm$", "β": r"$\beta$",
}  # fmt: skip
Row = Mapping[str, str]


def escaped(text: str) -> str:
    """Return text with LaTeX's own characters escaped, and minus signs before numbers."""
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", "".join(LATEX.get(character, character) for character in text))


def markdown(titles: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Return a Markdown table; a bar or a line break in a cell ends neither the cell nor the row."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"

    head = [line(list(titles.values())), "|" + "---|" * len(titles)]
    return "\n".join([*head, *(line([row[name] for name in titles]) for row in rows)]) + "\n"


def as_text(titles: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Return a table for a terminal: the first column to the left, the others to the right."""
    widths = {name: max(len(title), *(len(row[name]) for row in rows)) if rows else len(title) for name, title in titles.items()}
    first = next(iter(titles))

    def line(cells: Row) -> str:
        return "  ".join(cells[name].ljust(widths[name]) if name == first else cells[name].rjust(widths[name]) for name in titles)

    return "\n".join(line(cells) for cells in (titles, *rows))


def tabular(titles: Mapping[str, str], rows: Sequence[Row], caption: str = "") -> str:
    """Return a LaTeX ``tabular`` (package booktabs) with a comment line above it; every cell is escaped."""
    body = [" & ".join(escaped(" ".join(row[name].split())) for name in titles) + r" \\" for row in rows]
    return "\n".join([
        f"% \\usepackage{{booktabs}}; {' '.join(caption.split())}",
        rf"\begin{{tabular}}{{l{'r' * (len(titles) - 1)}}}", r"\toprule",
        " & ".join(escaped(title) for title in titles.values()) + r" \\", r"\midrule", *body, r"\bottomrule", r"\end{tabular}", "",
    ])  # fmt: skip


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows of any values as ``path``.csv and ``path``.json.

    Args:
        path: without suffix.
        rows: by column name.
        columns: of the CSV file, in this order; by default those of the first row.
    """
    with atomic.replacing(path.with_suffix(".csv")) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(columns or rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    atomic.write_json(path.with_suffix(".json"), rows)
