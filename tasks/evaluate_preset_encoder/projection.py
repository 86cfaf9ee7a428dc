"""Embeddings in two dimensions: fitted on the audio model's, with the encoder's put into the same map; a table and a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from core import atomic
from core.context import Context
from tasks.evaluate_preset_encoder.pools import Pool
from tasks.evaluate_preset_encoder.spec import Settings
from tasks.preset_encoders.protocols import subset

Array = npt.NDArray[Any]
TABLE, PICTURE = "projection.parquet", "projection.png"
MOST_GROUPS = 6
"""Labels that get a colour of their own, the most frequent first."""


def write(pools: Mapping[str, Pool], settings: Settings, context: Context) -> str:
    """Project some presets of each pool and write table and picture; returns the method that was used."""
    chosen = {name: subset(len(pool), settings.projection_points, settings.seed) for name, pool in pools.items()}
    heard = np.concatenate([pool.heard.cpu().numpy()[chosen[name]] for name, pool in pools.items()])
    found = np.concatenate([pool.found.cpu().numpy()[chosen[name]] for name, pool in pools.items()])
    method, into = fit(heard, settings, context)
    tables = [pd.DataFrame({"set": name, "row": pool.rows[chosen[name]], "group": groups(pool, chosen[name])})
              for name, pool in pools.items()]  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    for name, places in (("reference", into(heard)), ("encoder", into(found))):
        table[f"{name}_x"], table[f"{name}_y"] = places[:, 0].astype(np.float32), places[:, 1].astype(np.float32)
    with atomic.replacing(context.output / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    draw(table, method, context)
    return method


def fit(heard: Array, settings: Settings, context: Context) -> tuple[str, Callable[[Array], Array]]:
    """Return the method and the map from embeddings [n, m] to places [n, 2], fitted on the audio model's embeddings."""
    if settings.projection == "umap":
        try:
            import umap  # seconds to import, and not everybody wants it
        except ImportError:
            context.log("umap-learn is not installed: principal components instead")
        else:
            neighbours = min(settings.neighbours, len(heard) - 1)
            reducer = umap.UMAP(
                n_neighbors=neighbours, min_dist=settings.min_distance, metric="euclidean", init="pca", random_state=settings.seed, n_jobs=1
            )
            first = np.asarray(reducer.fit_transform(heard))
            return "umap", lambda rows: first if rows is heard else np.asarray(reducer.transform(rows))
    middle = heard.mean(0, dtype=np.float64)
    _, _, axes = np.linalg.svd(heard - middle, full_matrices=False)
    signs = np.sign(axes[:2, np.abs(axes[:2]).argmax(1)].diagonal())  # an axis may point either way: its largest part is positive
    return "pca", lambda rows: (rows - middle) @ (axes[:2] * signs[:, None]).T


def groups(pool: Pool, chosen: npt.NDArray[np.int64]) -> list[str]:
    """Return the first label of each chosen preset, empty where it has none."""
    table = pool.presets.table
    if "labels" not in table:
        return [""] * len(chosen)
    labels = table["labels"].iloc[pool.rows[chosen]]
    return [str(one if isinstance(one, str) else (one[0] if one is not None and len(one) else "")) for one in labels]


def draw(table: pd.DataFrame, method: str, context: Context) -> None:
    """Draw what the audio model hears beside what the encoder foretells, by set; and once more by label where there are any."""
    labelled = table[table["group"] != ""]
    rows = [("set", table), *([("group", labelled)] if labelled["group"].nunique() > 1 else [])]
    figure = Figure(figsize=(9, 4.3 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 2, squeeze=False, sharex=True, sharey=True)
    for line, (column, part) in zip(axes, rows, strict=True):
        names = part[column].value_counts().index[:MOST_GROUPS]
        for axis, (source, title) in zip(line, (("reference", "sounds (audio model)"), ("encoder", "presets (encoder)")), strict=True):
            for name in names:
                some = part[part[column] == name]
                axis.scatter(some[f"{source}_x"], some[f"{source}_y"], s=5, alpha=0.5, linewidths=0, label=str(name).replace("_", " "))
            axis.set_title(f"{title}, {method.upper()}")
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].legend(markerscale=3, fontsize=8)
    with atomic.replacing(context.output / PICTURE) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
