"""What was rendered and by what: preset sets, presets that are missing, the synthesiser, what else was tried."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.context import Context
from tasks.presets.reading import PresetSet, open_presets
from tasks.report_presets.scores import Table
from tasks.report_presets.spec import Match, SetFolder

VERDICTS = {
    "deterministic": "plays the same preset the same way, in another process and in another order",
    "order_dependent": "plays a preset as it does only after the same presets: the labels of the sounds are not exact",
    "random": "plays the same preset otherwise each time: the labels of the sounds are not exact",
}  # fmt: skip
LONGEST = 200
"""Characters of a cell that lists parameters."""
DISTANCES = ("a_mean", "stft", "mstft", "mel", "mfccd", "mae", "switch_accuracy", "category_accuracy")
"""Scores of match_sound."""


def opened(sets: Sequence[SetFolder], context: Context) -> dict[str, PresetSet]:
    """Return the preset sets by name."""
    return {one.name: open_presets(context.resolve(one.path)) for one in sets}


def sets_table(sets: dict[str, PresetSet]) -> Table:
    """Return size and making of each set."""
    titles = {"set": "set", "rows": "presets", "tries": "draws for one", "rms": "RMS, median", "missing": "missing", "seed": "seed"}
    rows = []
    for name, one in sets.items():
        rows.append({
            "set": name, "rows": f"{len(one):,}", "tries": f"{one.table['tries'].mean():.2f}", "rms": f"{one.table['rms'].median():.3f}",
            "missing": str(len(one.rejected) + len(removed(one))), "seed": str(one.meta["seed"]),
        })  # fmt: skip
    return "Preset sets", titles, rows


def removed(one: PresetSet) -> list[dict[str, Any]]:
    """Return the presets made by hand that were not even rendered, with ``name`` and ``reason``."""
    path = one.folder / "removed.json"
    if not path.is_file():
        return []
    listed: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [row for row in listed if "rms" not in row]


def rejected(sets: dict[str, PresetSet], most: int) -> list[tuple[str, str, Table]]:
    """Return, of each set with missing presets, its name, how many there are by reason, and the first of them."""
    found = []
    for name, one in sets.items():
        names = json.loads((one.folder / "removed.json").read_text(encoding="utf-8")) if (one.folder / "removed.json").is_file() else []
        known = [row["name"] for row in names if "rms" in row]
        rows = [
            {"which": known[place] if place < len(known) else f"number {row['index']}", "reason": str(row["reason"]),
             "tries": str(row["tries"]), "rms": "–" if row["rms"] is None or np.isnan(row["rms"]) else f"{row['rms']:.4f}",
             "parameters": _short(row["parameters"])}
            for place, row in enumerate(one.rejected.to_dict("records"))
        ]  # fmt: skip
        rows += [{"which": row["name"], "reason": _reason(row), "tries": "0", "rms": "–", "parameters": "–"} for row in removed(one)]
        if rows:
            counts: dict[str, int] = {}
            for row in rows:
                kind = row["reason"].split(":")[0]
                counts[kind] = counts.get(kind, 0) + 1
            words = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda item: -item[1]))
            titles = {"which": "preset", "reason": "reason", "tries": "tries", "rms": "RMS", "parameters": "parameters of the last try"}
            found.append((name, words, (name, titles, rows[:most])))
    return found


def _reason(row: dict[str, Any]) -> str:
    return f"{row['reason']}: {row['of']}" if row.get("of") else str(row["reason"])


def _short(text: Any) -> str:
    told = str(text)
    return told if len(told) <= LONGEST else told[: LONGEST - 1] + "…"


def synthesiser(sets: dict[str, PresetSet], probe: Path | None) -> dict[str, Any]:
    """Return what the page says of the synthesiser: its spec, its identity, and whether it repeats itself.

    Args:
        sets: preset sets, all made by it.
        probe: folder of probe_synth, or none.
    """
    one = next(iter(sets.values()))
    told = json.loads((probe / "synth.json").read_text(encoding="utf-8")) if probe else {}
    verdict = told.get("repeatability") or {}
    identity = {name: _short(value) for name, value in _flat(one.meta["plugin"]).items()}
    kinds: dict[str, int] = {}
    for parameter in one.spec.used:
        kinds[parameter.kind] = kinds.get(parameter.kind, 0) + 1
    return {
        "name": one.spec.name, "parameters": len(one.spec.parameters), "used": len(one.spec.used), "kinds": kinds,
        "backend": one.meta["backend"], "identity": identity, "verdict": verdict, "words": VERDICTS.get(verdict.get("kind", ""), ""),
        "audio_model": one.meta["audio_model"], "dimensions": one.meta["dimensions"], "midi": one.meta["midi"],
        "duration_s": one.meta["duration_s"], "sample_rate_hz": one.meta["sample_rate_hz"],
    }  # fmt: skip


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat |= _flat(item, f"{prefix}{name}.") if isinstance(item, dict) and item else {f"{prefix}{name}": item}
    return flat


def ranking(folder: Path) -> Table:
    """Return how well distances in audio models order sounds by their attributes."""
    rows = json.loads((folder / "ranking.json").read_text(encoding="utf-8"))["rows"]
    titles = {
        "model": "audio model",
        "distance": "distance",
        "correlation": "rank correlation",
        "sd": "± over attributes",
        "dimensions": "m",
    }
    told = [
        {"model": str(row["model"]), "distance": str(row["distance"]), "correlation": f"{row['correlation']:.3f}", "sd": f"{row['sd']:.3f}",
         "dimensions": str(row["dimensions"] or "–")}
        for row in rows
    ]  # fmt: skip
    return "Audio models", titles, told


def matching(matches: Sequence[Match], context: Context) -> Table:
    """Return the scores of sound matching, in and out of the synthesiser's domain, beside chance."""
    titles = {"what": "estimator", "sounds": "sounds", "n": "n", **{name: name.replace("_", " ") for name in DISTANCES}}
    rows = []
    for match in matches:
        told = json.loads((context.resolve(match.scores) / "scores.json").read_text(encoding="utf-8"))
        for kind in ("in_domain", "out_of_domain"):
            if told.get(kind):
                parts = [(match.name, told[kind]), (f"{match.name}, by chance", told[kind].get("baseline") or {})]
                rows += [
                    {"what": name, "sounds": kind.replace("_", " "), "n": str(told[kind]["sounds"]),
                     **{score: _number(part.get(score)) for score in DISTANCES}}
                    for name, part in parts if part
                ]  # fmt: skip
    return "Sound matching", titles, rows


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
