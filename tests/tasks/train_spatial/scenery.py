"""Small clips and rooms for the tests beside and those of evaluate_spatial, and a training on them."""

import numpy as np

from core import audio, manifest
from core.context import Context
from tasks.spatial import foa, words
from tasks.spatial.catalogue import write_catalogue
from tasks.train_spatial import stage
from tasks.train_spatial.spec import Request, Settings

CLIPS, ROOMS = "stages/stratify/aa", "stages/simulate_rooms/bb"
RATE = 16000
LABELS = ("dog_bark", "rain", "rooster")


def sound(label, number, seconds=0.6):
    """A tone, noise or clicks; the clip's number moves pitch and phase a little."""
    rng, times = np.random.default_rng(number), np.arange(round(seconds * RATE)) / RATE
    if label == "rain":
        return (0.1 * rng.standard_normal(len(times))).astype(np.float32)
    pitch = 300 * (1 + 0.05 * rng.random())
    tone = np.sign(np.sin(2 * np.pi * pitch * times)) if label == "rooster" else rng.standard_normal(len(times)) * (times % 0.1 < 0.01)
    return (0.3 * tone).astype(np.float32)


def clips(root, each=4, splits=("train", "train", "val", "test"), folder=CLIPS):
    """Write clips of three labels and their manifest."""
    rows = []
    for label in LABELS:
        for number in range(each):
            path = f"{folder}/audio/{label}-{number}.wav"
            audio.write(root / path, sound(label, number), RATE)
            split = splits[number % len(splits)]
            rows.append(manifest.row(manifest.clip_id(label, number), path, "gold", label=label, split=split, duration_s=0.6))
    manifest.write(root / folder, manifest.frame(rows))


def rooms(root, count=12, splits=("train", "train", "val", "test"), folder=ROOMS, rate=RATE, **meta):
    """Write RIRs, each a plane wave with a diffuse tail, and their catalogue."""
    rows = []
    for number in range(count):
        rng = np.random.default_rng(number)
        azimuth, elevation = float(rng.uniform(-180, 180)), float(rng.uniform(-60, 60))
        distance, area, t30 = float(rng.uniform(0.5, 4)), float(rng.uniform(15, 250)), float(rng.choice([150.0, 600.0, 1500.0]))
        length = rate // 4
        tail = rng.standard_normal((4, length)) * 10 ** (-3 * np.arange(length) / rate / (t30 / 1000)) * 0.02
        tail[1:] /= np.sqrt(3)
        tail[:, :60] = 0
        rir = tail.astype(np.float32)
        rir[:, 50] = foa.gains(azimuth, elevation) / distance
        name = f"{number:04d}"
        audio.write(root / folder / f"rirs/{name}.wav", rir, rate, "FLOAT")
        row = {"azimuth_deg": azimuth, "elevation_deg": elevation, "source_distance_m": distance, "area_m2": area, "fullband_T30_ms": t30}
        described = words.descriptor_id(words.describe(row))
        rows.append({
            **row, "spatial_id": name, "room_id": f"room{number % 5}", "descriptor_id": described, "split": splits[number % len(splits)],
            "rir_path": f"rirs/{name}.wav", "fs": rate, "delay_samples": 40, "t30_nominal_ms": t30 * 1.5, "dims_m": "[5.0, 4.0, 3.0]",
        })  # fmt: skip
    write_catalogue(root / folder, rows, meta)


SMALL = {"duration_s": 0.9, "batch_sources": 3, "batch_spaces": 4, "steps": 4, "look_sources": 3, "look_spaces": 3}


def context_for(root, name, stage_name="train_spatial", emit=lambda kind, values: None):
    output = root / "stages" / stage_name / name
    output.mkdir(parents=True, exist_ok=True)
    return Context(output, root, threads=1, emit=emit)


def train(root, name="run", seed=1, emit=lambda kind, values: None, **options):
    """Run the stage; returns its result and output folder. Options are the request's or its settings'."""
    external = {key: options.pop(key) for key in ("htsat", "roberta", "branch", "checkpoint") if key in options}
    context = context_for(root, name, emit=emit)
    request = Request(clips=CLIPS, catalogue=ROOMS, seed=seed, settings=Settings(**{**SMALL, **options}), **external)
    return stage.run(request, context), context.output


def scenery(root):
    """Write clips and rooms; returns the root."""
    clips(root)
    rooms(root)
    return root
