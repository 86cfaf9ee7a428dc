"""Some pairs to listen to and to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from core import atomic, audio
from core.context import Context
from tasks.contrastive.features import FrontEnd
from tasks.train_contrastive.passes import Views
from tasks.train_contrastive.sources import Source

PAIRS, PICTURE = "pairs", "pairs.png"


def write_pairs(source: Source, keys: list[int], front_end: FrontEnd, sample_rate_hz: int, context: Context) -> None:
    """Write pairs as sound files ``pairs/00-first.flac``, their parameters as ``pairs.json``, and their features as one picture."""
    if not keys:
        return
    views = source.views(keys)
    sounds = [(float(one.abs().max()), view, number, one) for view, part in (("first", views.first), ("second", views.second))
              for number, one in enumerate(part.float().cpu())]  # fmt: skip
    for peak, view, number, sound in sounds:
        path = context.output / PAIRS / f"{number:02d}-{view}.flac"
        audio.write(path, (sound / max(1.0, peak)).numpy(), sample_rate_hz)
        context.sample(path, f"pair {number}, {view} view")
    atomic.write_json(context.output / PAIRS / "pairs.json", _about(source, keys, views))
    _draw(views, front_end, context)


def _about(source: Source, keys: list[int], views: Views) -> list[dict[str, Any]]:
    parameters = views.parameters or {}
    return [
        {
            "pair": source.identity(key),
            "told": source.told(key),
            **{name: [round(float(value), 6) for value in part[row]] for name, part in parameters.items()},
        }
        for row, key in enumerate(keys)
    ]


def _draw(views: Views, front_end: FrontEnd, context: Context) -> None:
    """Draw the features of both views of each pair, all on one scale."""
    parts = [front_end.to(views.first.device)(part.float())[:, 0].cpu().numpy() for part in (views.first, views.second)]
    low, high = float(min(part.min() for part in parts)), float(max(part.max() for part in parts))
    figure = Figure(figsize=(2.2 * len(parts[0]), 4.4), layout="constrained")
    axes = figure.subplots(2, len(parts[0]), squeeze=False, sharex=True, sharey=True)
    for row, (name, part) in enumerate(zip(("first", "second"), parts, strict=True)):
        axes[row, 0].set_ylabel(f"{name} view: mel band")
        for column, levels in enumerate(part):
            axes[row, column].imshow(np.asarray(levels).T, origin="lower", aspect="auto", vmin=low, vmax=high)
            axes[1, column].set_xlabel(f"pair {column}: frame")
    with atomic.replacing(context.output / PICTURE) as temporary:
        figure.savefig(temporary, format="png", dpi=90, metadata={"Software": None})
