"""A data root with a handful of dry clips and a catalogue, as the stages before write them; without torch and without a simulator."""

import json
import math

import numpy as np
import pandas as pd

from core import audio, manifest

CLIPS, CATALOGUE = "stages/prepare/aa", "stages/simulate_rooms/bb"
DELAY = 40


def rir(azimuth_deg, elevation_deg, distance_m, t30_ms, rate_hz, seconds, seed):
    """A direct sound after the simulator's delay, 1/d strong, and a decaying diffuse tail, as AmbiX [4, L]."""
    rng = np.random.default_rng(seed)
    length = round(seconds * rate_hz)
    tail = rng.standard_normal((4, length)) * 10 ** (-3 * np.arange(length) / rate_hz / (t30_ms / 1000)) * 0.005
    tail[1:] *= 3**-0.5
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    level = math.cos(elevation)
    gains = [1.0, math.sin(azimuth) * level, math.sin(elevation), math.cos(azimuth) * level]
    start = DELAY + round(distance_m / 343 * rate_hz)
    tail[:, :start] = 0.0
    tail[:, start] += np.array(gains) / distance_m
    return tail.astype(np.float32)


def catalogue(root, places=None, rate_hz=8000, seconds=0.2):
    """Write a catalogue; ``places`` are (split, azimuth, elevation, distance, area, measured T30, nominal T30)."""
    places = places or [
        (split, azimuth, elevation, distance, area, t30, t30)
        for split in ("train", "val", "test")
        for azimuth, elevation, distance, area, t30 in (
            (90.0, 0.0, 0.8, 30.0, 150.0), (-90.0, 45.0, 3.0, 200.0, 1500.0), (45.0, 0.0, 1.5, 75.0, 500.0),
        )
    ]  # fmt: skip
    folder, rows = root / CATALOGUE, []
    for number, (split, azimuth, elevation, distance, area, t30, nominal) in enumerate(places):
        name = f"{number:05d}"
        audio.write(folder / f"rirs/{name}.wav", rir(azimuth, elevation, distance, t30, rate_hz, seconds, number), rate_hz, "FLOAT")
        rows.append({
            "rir_path": f"rirs/{name}.wav", "spatial_id": name, "room_id": f"room{number // 2}", "split": split, "azimuth_deg": azimuth,
            "elevation_deg": elevation, "source_distance_m": distance, "area_m2": area, "fullband_T30_ms": t30, "t30_nominal_ms": nominal,
            "edt_ms": t30, "c50_db": 10.0, "drr_db": 5.0, "fs": rate_hz, "delay_samples": DELAY,
        })  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "catalogue.parquet", index=False)
    meta = {"order": "ACN", "normalisation": "SN3D", "azimuth_sign": "left_positive", "sample_rate_hz": rate_hz, "delay_samples": DELAY,
            "rows": len(rows), "self_test": {}, "unreachable": [], "statistics": {}}  # fmt: skip
    (folder / "catalogue.json").write_text(json.dumps(meta))
    return rows


def clips(root, splits=("train", "train", "val", "test"), rate_hz=8000, seconds=0.5, **more):
    """Write dry clips; the first one has two captions."""
    rows = []
    for number, split in enumerate(splits):
        sound = 0.3 * np.random.default_rng(100 + number).standard_normal(round((seconds + 0.1 * number) * rate_hz))
        path = f"{CLIPS}/audio/{number}.wav"
        audio.write(root / path, sound.clip(-1, 1).astype(np.float32), rate_hz, "FLOAT")
        known = [{"caption_id": f"c{number}{letter}", "caption": f"a small dog {number} barks {letter}"} for letter in "ab"]
        rows.append(manifest.row(
            f"{number:016x}", path, "gold", label="ab"[number % 2], caption=f"bell {number} rings", split=split, channels=1,
            duration_s=len(sound) / rate_hz, sample_rate_hz=rate_hz, parameters={} if number else {"source_captions": known}, **more,
        ))  # fmt: skip
    manifest.write(root / CLIPS, manifest.frame(rows))
    return rows
