"""Scenes to listen to: the dry clip, the scene decoded to stereo, its caption, and the direction that the model tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core import audio, manifest
from core.context import Context
from tasks.report_spatial.spec import Settings
from tasks.spatial import foa, words
from tasks.spatial.catalogue import Catalogue
from tasks.spatial.convolution import convolve
from tasks.spatial.dry import load_dry

LOUDEST = 0.9
"""Peak that louder scenes are turned down to: a file of 16 bit holds no more than 1."""
FOLDER = "scenes"
Told = dict[tuple[str, str], tuple[float, float]]
"""Azimuth and elevation in degrees that a model tells, by clip and RIR."""


def told_directions(folder: Path) -> Told:
    """Return the directions in an evaluation's ``embeddings.npz``; nothing where it has none."""
    path = folder / "embeddings.npz"
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as archive:
        if "direction" not in archive.files:
            return {}
        outputs, sources, spaces = (archive[name] for name in ("direction", "source_id", "spatial_id"))
    # A head of two outputs tells radians (DISSE's), one of three a vector.
    azimuths, elevations = np.rad2deg(outputs).T if outputs.shape[1] == 2 else foa.angles(outputs)
    keys = zip(map(str, sources), map(str, spaces), strict=True)
    return dict(zip(keys, zip(map(float, azimuths), map(float, elevations), strict=True), strict=True))


def chosen(index: pd.DataFrame, told: Told, settings: Settings) -> list[dict[str, Any]]:
    """Return the rows of scenes to show: accepted ones, those that were scored first, directions in turn, else by a hash of seed and id."""
    kept = index[index["status"] == "accepted"] if "status" in index else index
    known = [{str(name): value for name, value in row.items()} for row in kept.to_dict("records")]

    def rank(row: dict[str, Any]) -> tuple[bool, str]:
        return (row["source_id"], row["spatial_id"]) not in told, manifest.clip_id("shown", settings.seed, row["scene_id"])

    groups: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(known, key=rank):
        groups.setdefault(words.describe(row).direction, []).append(row)
    turns = sorted(((place, name), row) for name, rows in groups.items() for place, row in enumerate(rows)) if groups else []
    return [row for _, row in turns[: settings.max_scenes]]


def shown(index: pd.DataFrame, told: Told, found: Catalogue, settings: Settings, context: Context) -> list[dict[str, Any]]:
    """Write the sounds of some scenes beside the page; return what the page says of them."""
    made = []
    rows = {str(name): row for row, name in enumerate(found.table["spatial_id"])}
    for number, row in enumerate(chosen(index, told, settings), start=1):
        name = f"{FOLDER}/{number:02d}"
        field, rate_hz, dry = _sound(row, found, rows, context)
        decoded, gain = quiet(foa.stereo(field, settings.half_angle_deg))
        audio.write(context.output / f"{name}-stereo.flac", decoded, rate_hz, "PCM_16")
        audio.write(context.output / f"{name}-dry.flac", quiet(dry)[0], rate_hz, "PCM_16")
        made.append({
            "caption": str(row["caption"]), "stereo": f"{name}-stereo.flac", "dry": f"{name}-dry.flac", "facts": facts(row, told),
            "gain_db": f"{20 * np.log10(gain):.1f}" if gain < 1 else "",
        })  # fmt: skip
        context.progress(number, settings.max_scenes, "scenes")
    return made


def _sound(row: dict[str, Any], found: Catalogue, rows: dict[str, int], context: Context) -> tuple[audio.Samples, int, audio.Samples]:
    """Return a scene [4, samples], its rate and the dry clip [samples]; a scene that was listed only is rendered here."""
    path = str(row.get("foa_path") or "")
    if path:
        field, rate_hz = audio.read(context.resolve(path))
        return field, rate_hz, load_dry(context.resolve(str(row["clip_path"])), rate_hz, field.shape[1] / rate_hz)
    rate_hz = found.sample_rate_hz
    dry = audio.load_mono(context.resolve(str(row["clip_path"])), rate_hz)
    return convolve(dry, found.rir(rows[str(row["spatial_id"])]), int(found.meta["delay_samples"])), rate_hz, dry


def quiet(samples: audio.Samples) -> tuple[audio.Samples, float]:
    """Return a sound that is no louder than :data:`LOUDEST`, and its gain."""
    gain = min(1.0, LOUDEST / max(float(np.abs(samples).max(initial=0.0)), 1e-9))
    return np.asarray(samples * np.float32(gain), np.float32), gain


def facts(row: dict[str, Any], told: Told) -> list[tuple[str, str]]:
    """Return what is true of a scene, and what the model tells of its direction."""
    true = float(row["azimuth_deg"]), float(row["elevation_deg"])
    found = [
        ("direction", f"{true[0]:+.0f}° {side(true[0])}, {true[1]:+.0f}°"), ("distance", f"{float(row['source_distance_m']):.2f} m"),
        ("floor area", f"{float(row['area_m2']):.0f} m²"), ("T30", f"{float(row['fullband_T30_ms']):.0f} ms"),
    ]  # fmt: skip
    said = told.get((str(row["source_id"]), str(row["spatial_id"])))
    if said:
        off = float(foa.apart_deg(said, true))
        found.append(("direction told by the model", f"{said[0]:+.0f}° {side(said[0])}, {said[1]:+.0f}°; {off:.0f}° off"))
    return found


def side(azimuth_deg: float) -> str:
    """Return an azimuth in a word; between the words of captions, the side: positive is left."""
    return words.direction_word(azimuth_deg) or ("half left" if azimuth_deg > 0 else "half right")


def azimuths(told: Told, found: Catalogue) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return true and told azimuth in degrees of every scored scene."""
    true = dict(zip(map(str, found.table["spatial_id"]), map(float, found.table["azimuth_deg"]), strict=True))
    pairs: Sequence[tuple[float, float]] = [(true[space], said[0]) for (_, space), said in told.items() if space in true]
    both = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
