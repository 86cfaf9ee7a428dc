"""Writes ``measures.json``: for the real clips and every set the spectral features, by space the distances."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile

from core import atomic, audio, frechet, manifest
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.measure_sounds import spectral
from tasks.measure_sounds.spec import Request, Result, Space

DIGITS = 6
LEAST_CLIPS = 4
Array = npt.NDArray[np.float64]


def run(request: Request, context: Context) -> Result:
    """Measure the sounds, then the embeddings."""
    real = _real(request, context)
    heard = _spectral(real, request, context)
    measures: dict[str, Any] = {
        "real": {"clips": len(real), "spectral": spectral.quantiles(heard)}, "sets": {}, "spaces": {},
    }  # fmt: skip
    for number, one in enumerate(request.sets):
        rows = _spectral(manifest.accepted(manifest.read(context.resolve(one.clips))), request, context)
        about = json.loads((context.resolve(one.clips) / "synthesiser.json").read_text(encoding="utf-8"))["settings"]
        measures["sets"][one.name] = {
            "synth": about["synth"], "delta": about["delta"], "spectral": spectral.quantiles(rows),
            "overlap": spectral.overlap(rows, heard),
        }  # fmt: skip
        context.progress(number + 1, len(request.sets), "sets")
    for space in request.spaces:
        measures["spaces"][space.name] = _space(space, request, set(real["clip_id"]), context)
    found = {
        name: {
            f"{one}, {space}": values[name] for space, part in measures["spaces"].items() for one, values in part["sets"].items()
        } for name in ("frechet", "twins", "strangers")
    }  # fmt: skip
    reference = {name: part["frechet_reference"] for name, part in measures["spaces"].items()}
    result = Result(
        len(real), frechet=found["frechet"], frechet_reference=reference, twins=found["twins"], strangers=found["strangers"]
    )  # fmt: skip
    atomic.write_json(context.output / "measures.json", {**measures, "settings": to_dict(request.settings)})
    return result


def _real(request: Request, context: Context) -> pd.DataFrame:
    table = manifest.accepted(manifest.read(context.resolve(request.real)))
    kept = table[table["split"] == request.settings.split] if request.settings.split else table
    if kept.empty:
        raise InvalidValueError("no real clips", where=request.real, allowed=f"clips of split {request.settings.split!r}", received=0)
    return kept.sort_values("clip_id").reset_index(drop=True)


def _spectral(table: pd.DataFrame, request: Request, context: Context) -> list[dict[str, float]]:
    """Return the features of the clips that are looked at; files that cannot be read, and silence, are left out."""
    places = frechet.order(list(table["clip_id"]), request.settings.seed)[: request.settings.max_clips]
    found = []
    for path in table["path"].iloc[sorted(places)]:
        try:
            row = spectral.features(audio.load_mono(context.resolve(path), spectral.RATE_HZ))
        except (soundfile.LibsndfileError, OSError) as error:
            context.log(f"{path} is left out: {error}")
            continue
        found += [row] if row else []
    return found


def _read(folder: str, context: Context) -> tuple[pd.DataFrame, Array]:
    path = context.resolve(folder)
    return pd.read_parquet(path / "table.parquet"), np.load(path / "embeddings.npy", allow_pickle=False).astype(np.float64)


def _space(space: Space, request: Request, kept: set[str], context: Context) -> dict[str, Any]:
    """Return the distances in one embedding."""
    seed = request.settings.seed
    table, array = _read(space.real, context)
    rows = table["clip_id"].isin(kept).to_numpy()
    ids, real = table["clip_id"][rows].tolist(), array[rows]
    halves = frechet.order(ids, seed)
    first, second = real[halves[: len(real) // 2]], real[halves[len(real) // 2 :]]
    found: dict[str, Any] = {"dimensions": array.shape[1], "frechet_reference": _distance(first, second), "sets": {}}
    for one, folder in zip(request.sets, space.sets, strict=True):
        own, made = _read(folder, context)
        twins, strangers = pair_distances(own, made)
        limit = frechet.extrapolated(made, own["clip_id"].tolist(), real, seed) if min(len(real), len(made)) >= LEAST_CLIPS else None
        found["sets"][one.name] = {
            "frechet": _distance(made, real), "frechet_infinity": None if limit is None else round(limit, DIGITS), "twins": twins,
            "strangers": strangers, "clips": len(made),
        }  # fmt: skip
    return found


def _distance(first: Array, second: Array) -> float | None:
    return round(frechet.distance(first, second), DIGITS) if min(len(first), len(second)) >= LEAST_CLIPS else None


def pair_distances(table: pd.DataFrame, array: Array) -> tuple[float | None, float | None]:
    """Return the mean distance at unit length of the two views of a pair, and of first views and the next pairs' second views.

    Args:
        table: a row for each embedding, with ``parameters``, in which ``synthesize`` says pair and view.
        array: embeddings [clips, d]; brought to mean 0 over the clips first, since a common part says nothing of two sounds.
    """
    told = [json.loads(text) for text in table["parameters"]]
    places: dict[str, dict[str, int]] = {}
    for row, about in enumerate(told):
        if "pair" in about:
            places.setdefault(about["pair"], {})[about["view"]] = row
    whole = [places[name] for name in sorted(places) if len(places[name]) == 2]
    if len(whole) < 2:
        return None, None
    centred = array - array.mean(0)
    unit = centred / np.maximum(1e-12, np.linalg.norm(centred, axis=1, keepdims=True))
    one, other = (unit[[pair[view] for pair in whole]] for view in ("a", "b"))
    twins, strangers = np.linalg.norm(one - other, axis=1), np.linalg.norm(one - np.roll(other, -1, axis=0), axis=1)
    return round(float(twins.mean()), DIGITS), round(float(strangers.mean()), DIGITS)
