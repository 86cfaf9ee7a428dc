"""The ranking from everyone's correlations, and the files it is in: ``ranking.json``, ``ranking_rows.csv``, ``correlations.csv``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core import atomic, tables

RANKING, CORRELATIONS = "ranking.json", "correlations"
COLUMNS = ("model", "distance", "attribute", "correlation", "sd", "presets")


def write(output: Path, rows: list[dict[str, Any]], ears: dict[str, list[Any]], about: dict[str, Any]) -> list[dict[str, Any]]:
    """Average correlations over presets and attributes, rank, and write all of it; returns the ranking, best first.

    Args:
        output: folder.
        rows: model, distance, attribute, preset, correlation.
        ears: identity and dimensions by model.
        about: what else ``ranking.json`` says.
    """
    means = averaged(rows)
    ranking = ranked(means, ears)
    tables.write_rows(output / "ranking_rows", means, COLUMNS)
    tables.write_rows(output / CORRELATIONS, rows)
    atomic.write_json(output / RANKING, {**about, "rows": ranking})
    return ranking


def averaged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean and standard deviation over the presets, for each model, distance and attribute."""
    groups: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["distance"], row["attribute"]), []).append(row["correlation"])
    return [
        dict(zip(COLUMNS, (*key, float(np.mean(values)), float(np.std(values)), len(values)), strict=True))
        for key, values in groups.items()
    ]  # fmt: skip


def ranked(means: list[dict[str, Any]], ears: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return a row for each model and distance, best first: mean over the attributes, their spread, and each attribute's."""
    groups: dict[tuple[str, str], dict[str, float]] = {}
    for row in means:
        groups.setdefault((row["model"], row["distance"]), {})[row["attribute"]] = row["correlation"]
    found = []
    for (model, distance), values in groups.items():
        identity, dimensions = ears[model]
        spread = {"correlation": float(np.mean(list(values.values()))), "sd": float(np.std(list(values.values())))}
        found.append({
            "model": model, "distance": distance, **spread, "identity": identity, "dimensions": dimensions, "attributes": values,
            "weakest": min(values, key=lambda name: values[name]),
        })  # fmt: skip
    return sorted(found, key=lambda row: -row["correlation"])


def table_of(ranking: list[dict[str, Any]]) -> str:
    """Return the ranking as a table for a terminal."""
    titles = {"model": "audio model", "distance": "distance", "dimensions": "dimensions", "mean": "mean", "sd": "sd", "weakest": "weakest"}
    rows = [
        {
            "model": row["model"], "distance": row["distance"], "dimensions": str(row["dimensions"] or "–"),
            "mean": f"{row['correlation']:.3f}", "sd": f"{row['sd']:.3f}",
            "weakest": f"{row['weakest']} {row['attributes'][row['weakest']]:.2f}",
        }
        for row in ranking
    ]  # fmt: skip
    return tables.as_text(titles, rows)
