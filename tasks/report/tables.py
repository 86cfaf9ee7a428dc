"""Writes the score table as CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core import atomic, tables
from core.tables import escaped
from tasks.report.scores import UNITS, Section

COLUMNS = (
    "arm", "test", "sd", "delta", "delta_interval", "p", "p_sign_flip", "interval", "delta_interval_runs", "f1", "val", "clips", "draws",
    "seeds",
)  # fmt: skip
"""What is shown, in this order: what matters most stands where a narrow window still shows it."""


def write(parts: Sequence[tuple[Section, Sequence[dict[str, str]]]], headlines: Sequence[str], folder: Path) -> None:
    """Write ``scores.csv``, ``scores.json``, ``scores.md`` and ``scores.tex`` into a folder."""
    tables.write_rows(folder / "scores", [row for _, table in parts for row in table])
    atomic.write_text(folder / "scores.md", "\n".join(markdown(*part, text) for part, text in zip(parts, headlines, strict=True)))
    atomic.write_text(folder / "scores.tex", latex(parts))


def titles(section: Section) -> dict[str, str]:
    """Return the columns' titles by name; what an interval or a p is taken over stands in its title."""
    base, (interval, p) = section.arms[0], UNITS[section.unit]
    found = {
        "arm": "arm", "test": f"test {base.metric}", "sd": "sd", "interval": "95 % over runs", "delta": f"against {base.name}",
        "delta_interval": interval, "p": p, "p_sign_flip": f"p, sign flip over {section.unit}",
        "delta_interval_runs": "95 % over all draw–seed pairs", "f1": "macro F1", "val": f"val {base.metric}", "clips": "train clips",
        "draws": "draws", "seeds": "seeds",
    }  # fmt: skip
    hidden = (
        ("p_sign_flip", "delta_interval_runs") if section.unit == "clips" else ("delta_interval_runs",) if section.unit == "seeds" else ()
    )
    return {name: found[name] for name in COLUMNS if name not in hidden}


def markdown(section: Section, table: Sequence[dict[str, str]], headline: str) -> str:
    """Return one section's table; a bar in an arm's name ends no cell."""
    return f"{headline}\n\n{tables.markdown(titles(section), table)}"


def latex(parts: Sequence[tuple[Section, Sequence[dict[str, str]]]]) -> str:
    """Return a ``tabular`` (package booktabs): arms by row; for each size the mean ± sd and the difference with its interval."""
    names = list(dict.fromkeys(row["arm"] for _, table in parts for row in table))
    heads, cells = [], {name: [escaped(name)] for name in names}
    for section, table in parts:
        found = {row["arm"]: row for row in table}
        heads.append(escaped(section.size))
        for name in names:
            row = found.get(name)
            if row is None:
                cells[name] += ["--", "--"]
                continue
            spread = "" if row["sd"] == "–" else rf" $\pm$ {row['sd']}"
            interval = "" if row["delta_interval"] == "–" else f" [{escaped(row['delta_interval'])}]"
            cells[name] += [row["test"] + spread, escaped(row["delta"]) + interval]
    first = parts[0][0]
    interval = f"[{UNITS[first.unit][0].split(',')[0]}]"
    columns = " & ".join(["arm", *(rf"test {first.arms[0].metric} & {escaped('Δ ' + interval)}" for _ in parts)])
    return "\n".join([
        "% \\usepackage{booktabs}; in percent and percentage points",
        rf"\begin{{tabular}}{{l{'rr' * len(parts)}}}", r"\toprule",
        " & ".join(["", *(rf"\multicolumn{{2}}{{c}}{{{head}}}" for head in heads)]) + r" \\", columns + r" \\", r"\midrule",
        *(" & ".join(row) + r" \\" for row in cells.values()), r"\bottomrule", r"\end{tabular}", "",
    ])  # fmt: skip
