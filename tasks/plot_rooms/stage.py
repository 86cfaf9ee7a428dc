"""Writes pictures as SVG files that follow the reader's light or dark scheme, and ``pictures.json``, which lists them with their titles."""

from __future__ import annotations

import hashlib
from typing import Any

from matplotlib.figure import Figure

from core import atomic
from core.context import Context
from core.gallery import pictures
from tasks.plot_rooms import drawings
from tasks.plot_rooms.spec import Request, Result
from tasks.spatial.catalogue import Catalogue, open_catalogue

LIST = "pictures.json"


def run(request: Request, context: Context) -> Result:
    """Draw everything."""
    found = open_catalogue(context.locate(request.catalogue))
    table, made = found.table, []

    def write(stem: str, kind: str, title: str, figure: Figure, **more: Any) -> None:
        atomic.write_text(context.output / f"{stem}.svg", pictures.standalone(figure))
        made.append({"svg": f"{stem}.svg", "kind": kind, "title": title, **more})

    write("directions", "directions", "Where the sources are", drawings.directions(table))
    if table["t30_nominal_ms"].notna().any():
        write("reverberation", "reverberation", "Reverberation times, aimed at and measured", drawings.reverberation(table))
    write("distributions", "distributions", "What the catalogue holds", drawings.distributions(table))
    chosen = choice(found, request.responses, request.seed)
    for number, row in enumerate(chosen, start=1):
        line = table.loc[row]
        name, title = str(line["spatial_id"]), drawings.title(line)
        if drawings.has_plan(line):
            write(f"plan_{name}", "plan", title, drawings.plan(line), spatial_id=name, split=line["split"])
        figure = drawings.decay(line, found.rir(row)[0], found.sample_rate_hz)
        write(f"decay_{name}", "decay", title, figure, spatial_id=name, split=line["split"])
        context.progress(number, len(chosen), "responses")
    atomic.write_json(context.output / LIST, {"pictures": made, "rows": len(found), "statistics": found.meta["statistics"]})
    return Result(pictures=len(made))


def choice(found: Catalogue, count: int, seed: int) -> list[int]:
    """Return rows that are shown, in the catalogue's order; they hang on the seed and the responses' ids."""

    def rank(row: int) -> bytes:
        return hashlib.sha256(f"{seed}/{found.table['spatial_id'].iloc[row]}".encode()).digest()

    return sorted(sorted(range(len(found)), key=rank)[:count])
