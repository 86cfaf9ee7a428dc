"""The page's drawings: bars with chance, curves over training, the fall with the pool's size, and embeddings in two dimensions."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from core import atomic
from core.context import Context
from core.gallery import pictures
from core.gallery.page import trusted
from tasks.report_presets.scores import SETS, Encoder, pool_sizes, pools

CURVES = {
    "val_mrr": "Mean reciprocal rank of held-out presets while training",
    "val_l1": "Mean absolute error of held-out presets while training, in the audio model's units", "loss": "Training loss",
}  # fmt: skip
PROJECTION = "projection.parquet"
MOST_GROUPS = 6
"""Labels that get a colour of their own, the most frequent first."""


def bars(encoders: Sequence[Encoder]) -> Any:
    """Return the MRR of every encoder on every pool, with intervals and chance."""
    there = pools(encoders)
    values = {SETS[pool]: [one.mean(pool, "mrr") for one in encoders] for pool in there}
    spans = {SETS[pool]: [one.interval(pool) for one in encoders] for pool in there}
    lines = {f"chance, {SETS[pool]}": encoders[0].chance(pool)["mrr"] for pool in there}
    return trusted(pictures.bars([one.name for one in encoders], values, spans, lines, "MRR, one against all"))


def curves(encoders: Sequence[Encoder]) -> list[tuple[Any, str]]:
    """Return the curves of all trainings."""
    found = []
    for name, title in CURVES.items():
        lines = {
            encoder.name if number == 0 else f"{encoder.name}#{number + 1}": [(float(step), float(value)) for step, value in told[name]]
            for encoder in encoders
            for number, told in enumerate(encoder.curves)
            if told.get(name)
        }
        if lines:
            found.append((trusted(pictures.curves(lines, "step", name)), title))
    sizes = pool_sizes(encoders)
    if sizes:
        found.append((trusted(pictures.curves(sizes, "candidates", "MRR")), "MRR of drawn presets by the number of candidates"))
    return found


def projections(encoders: Sequence[Encoder], context: Context) -> list[tuple[str, str]]:
    """Draw or copy the embeddings in two dimensions; return files and captions.

    One picture of all encoders if the map is the same for all, which it is where the sounds' places are; else each encoder's own.
    """
    tables = {}
    for one in encoders:
        path = context.resolve(one.runs[0].scores) / PROJECTION
        if path.is_file():
            tables[one.name] = pd.read_parquet(path)
    if not tables:
        return []
    first = next(iter(tables.values()))
    places = ["reference_x", "reference_y"]
    method = next(iter(encoders)).told[0]["projection"]
    if all(len(table) == len(first) and np.allclose(table[places], first[places], atol=1e-3) for table in tables.values()):
        with atomic.replacing(context.output / "projection.png") as temporary:
            panels(tables).savefig(temporary, format="png", dpi=100, metadata={"Software": None})
        return [("projection.png", f"Sounds, and what each encoder foretells of them, in one map ({method.upper()}, fitted on the sounds)")]
    found = []
    for number, name in enumerate(tables):
        target = f"projection_{number:02d}.png"
        shutil.copyfile(context.resolve(encoders[[one.name for one in encoders].index(name)].runs[0].scores) / "projection.png",
                        context.output / target)  # fmt: skip
        found.append((target, f"{name}: sounds, and what it foretells of them ({method.upper()}, fitted on the sounds)"))
    return found


def panels(tables: dict[str, pd.DataFrame]) -> Figure:
    """Return the figure: a column for the sounds and for each encoder; a row by set, and one by label where there are any."""
    first = next(iter(tables.values()))
    labelled = first["group"].replace("[]", "").astype(bool).to_numpy()
    lines = [("set", np.ones(len(first), bool))] + ([("group", labelled)] if first["group"][labelled].nunique() > 1 else [])
    figure = Figure(figsize=(3.6 * (1 + len(tables)), 3.8 * len(lines)), layout="constrained")
    axes = figure.subplots(len(lines), 1 + len(tables), squeeze=False, sharex=True, sharey=True)
    for row, (column, some) in zip(axes, lines, strict=True):
        names = first[column][some].value_counts().index[:MOST_GROUPS]
        sources = [("sounds", first, "reference"), *((name, table, "encoder") for name, table in tables.items())]
        for axis, (title, table, source) in zip(row, sources, strict=True):
            for name in names:
                part = table[some & (table[column] == name).to_numpy()]
                axis.scatter(part[f"{source}_x"], part[f"{source}_y"], s=5, alpha=0.5, linewidths=0, label=SETS.get(str(name), str(name)))
            axis.set_title(title)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].legend(markerscale=3, fontsize=8)
    return figure
