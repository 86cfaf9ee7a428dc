"""What ``measure_sounds`` found, as tables and drawings, and the parameters that embeddings tell, by group."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.gallery import pictures
from core.gallery.page import trusted
from tasks.report_probes.scores import Encoder

Table = tuple[dict[str, str], list[dict[str, str]]]
FEATURES = {
    "level_dbfs": "level, dBFS", "centroid_hz": "centroid, Hz", "bandwidth_hz": "bandwidth, Hz", "rolloff_hz": "roll-off, Hz",
    "flatness_db": "flatness, dB", "flux": "flux",
}  # fmt: skip


def read(folder: Path) -> dict[str, Any]:
    """Return the measures of a folder."""
    found: dict[str, Any] = json.loads((folder / "measures.json").read_text(encoding="utf-8"))
    return found


def distances(measures: Mapping[str, Any]) -> Table:
    """Return Fréchet distances to the real clips, and how far twins and strangers lie apart, by set and space."""
    titles = {"set": "sounds of", "synth": "synthesiser", "delta": "δ"}
    for number, space in enumerate(measures["spaces"]):
        titles |= {
            f"frechet{number}": f"Fréchet distance, {space}",
            f"twins{number}": f"twins, {space}",
            f"strangers{number}": f"strangers, {space}",
        }
    rows = []
    for name, about in measures["sets"].items():
        row = {"set": name, "synth": about["synth"], "delta": f"{about['delta']:g}"}
        for number, part in enumerate(measures["spaces"].values()):
            for key in ("frechet", "twins", "strangers"):
                row[f"{key}{number}"] = _text(part["sets"][name][key])
        rows.append(row)
    halves = dict.fromkeys(titles, "–") | {"set": "halves of the real clips"}
    halves |= {f"frechet{number}": _text(part["frechet_reference"]) for number, part in enumerate(measures["spaces"].values())}
    return titles, [*rows, halves]


def spectra(measures: Mapping[str, Any]) -> Table:
    """Return the median and the middle half of each spectral feature, and how much of its histogram coincides with the real clips'."""
    rows = [{"set": "real clips", **{key: _quartiles(values) for key, values in measures["real"]["spectral"].items()}}]
    for name, about in measures["sets"].items():
        shares = about["overlap"]
        cells = {key: f"{_quartiles(values)} ({shares[key]:.0%})" for key, values in about["spectral"].items()}
        rows.append({"set": name, **{key: cells.get(key, "–") for key in FEATURES}})
    return {"set": "sounds of", **FEATURES}, [{key: row.get(key, "–") for key in ("set", *FEATURES)} for row in rows]


def over_delta(measures: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """Return the distances against δ, where a synthesiser has several."""
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {"twins": {}, "frechet": {}}
    for space, part in measures["spaces"].items():
        for name, about in measures["sets"].items():
            for key, drawn in lines.items():
                if part["sets"][name][key] is not None:
                    drawn.setdefault(f"{space}, {about['synth']}", []).append((float(about["delta"]), float(part["sets"][name][key])))
    titles = {
        "twins": "distance of twins against δ: 0 the same, about √2 strangers",
        "frechet": "Fréchet distance of the sounds to the real clips against δ, as a share of the greatest",
    }  # fmt: skip
    found = []
    for key, drawn in lines.items():
        kept = {name: sorted(points) for name, points in drawn.items() if len({delta for delta, _ in points}) > 1}
        if key == "frechet":  # spaces have units of their own
            kept = {
                name: [(delta, value / max(1e-12, max(high for _, high in points))) for delta, value in points]
                for name, points in kept.items()
            }
        if kept:
            found.append((trusted(pictures.curves(kept, "δ", {"twins": "mean distance", "frechet": "share"}[key])), titles[key]))
    return found


def parameters(encoders: Sequence[Encoder], folder: Path) -> Table:
    """Return how well the probe ``parameters`` tells each group of the synthesiser's parameters (mean R²), and the best told one.

    Args:
        encoders: of that probe; its numbers are ``unit.0`` … in the order of ``synthesiser.json``.
        folder: of the synthesised sounds.
    """
    told = json.loads((folder / "synthesiser.json").read_text(encoding="utf-8"))["parameters"]
    groups: dict[str, list[int]] = {}
    for number, one in enumerate(told):
        groups.setdefault(str(one["group"]), []).append(number)
    titles = {"group": "group", "number": "parameters", **{str(place): one.name for place, one in enumerate(encoders)}, "best": "best told"}
    scores = [
        {name: float(np.mean([part[name] for part in one.per_class if name in part])) for name in one.per_class[0]} for one in encoders
    ]
    rows = []
    for group, numbers in groups.items():
        row = {"group": group, "number": str(len(numbers))}
        for place, own in enumerate(scores):
            known = [own[f"unit.{number}"] for number in numbers if f"unit.{number}" in own]
            row[str(place)] = f"{np.mean(known):.3f}" if known else "–"
        values = {number: scores[0].get(f"unit.{number}", -np.inf) for number in numbers}
        best = max(values, key=lambda number: values[number])
        rows.append({**row, "best": f"{told[best]['name']} ({values[best]:.2f})"})
    return titles, rows


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _quartiles(values: Sequence[float]) -> str:
    return f"{values[2]:.3g} [{values[1]:.3g} … {values[3]:.3g}]"
