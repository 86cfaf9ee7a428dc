"""The tables of a preset set, and what else is worked out once its shards are together."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core import atomic
from tasks.presets import hand_crafted, reading
from tasks.render_presets.plan import Drawn, Given
from tasks.render_presets.spec import Settings


def table_of(settings: Settings, plan: Drawn | Given, rows: list[dict[str, Any]], parameters: Any) -> pd.DataFrame:
    """Return the set's table: what the shards tell, and split, name and labels of each preset."""
    table = pd.DataFrame(rows, columns=["index", "tries", "rms", "note", "velocity"])
    table.insert(0, "row", range(len(table)))
    if isinstance(plan, Given):
        table["split"] = hand_crafted.splits(np.asarray(parameters), settings.seed, settings.test_share)
        table["name"] = [plan.presets.names[index] for index in table["index"]]
        table["labels"] = [json.dumps(plan.presets.labels[index]) for index in table["index"]]
    else:
        table["split"], table["name"], table["labels"] = settings.split, "", "[]"
    return table


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table atomically."""
    with atomic.replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def write_lists(output: Path, plan: Given, table: pd.DataFrame, rejected: list[dict[str, Any]]) -> None:
    """Write which presets made by hand were kept, what was changed in them, and which were removed for which reason."""
    kept = [
        {"name": row["name"], "row": row["row"], "split": row["split"], "changed": list(plan.presets.changed[row["index"]])}
        for row in table[["name", "row", "split", "index"]].to_dict("records")
    ]
    lost = [{"name": plan.presets.names[row["index"]], "reason": row["reason"], "rms": row["rms"]} for row in rejected]
    atomic.write_json(output / "kept.json", kept)
    atomic.write_json(output / "removed.json", [*plan.presets.removed, *lost])


def write_mel_statistics(output: Path, table: pd.DataFrame) -> None:
    """Write least, greatest, mean and standard deviation of the spectrograms' levels, of training presets only."""
    mel = reading.mapped(output / reading.MEL)
    assert mel is not None  # written a moment ago
    places = np.flatnonzero(table["split"].to_numpy()[: len(mel)] == "train")
    total = squares = 0.0
    low, high = math.inf, -math.inf
    for place in places:
        levels = mel[place].astype(np.float64)
        total, squares = total + levels.mean(), squares + np.square(levels).mean()
        low, high = min(low, levels.min()), max(high, levels.max())
    if len(places):
        mean = total / len(places)
        spread = math.sqrt(max(0.0, squares / len(places) - mean**2))
        told = {"clips": len(places), "min": float(low), "max": float(high), "mean": float(mean), "std": spread}
        atomic.write_json(output / "mel_statistics.json", told)
