"""Tables as text, as Markdown and for LaTeX; a table is titles by column name and rows of ready text by the same names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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
