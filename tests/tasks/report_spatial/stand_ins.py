"""A study in the formats of evaluate_spatial, train_spatial, spatialise, plot_rooms and simulate_rooms, for tests of the page."""

import numpy as np
import pandas as pd

from core import atomic, audio
from core.context import Context
from tasks.report_spatial.spec import Request, Run, Settings
from tasks.report_spatial.stage import run
from tasks.spatial import foa, words
from tasks.spatial.catalogue import open_catalogue, write_catalogue
from tasks.spatial.sound_files import write_float

HOSTILE = '<script>alert("x")</script> & "quotes"'
RATE, ITEMS = 16000, 16
ROOMS, SCENES, PICTURES = "stages/simulate_rooms/aa", "stages/spatialise/aa", "stages/plot_rooms/aa"
TASKS = {"SRC": 12.0, "SPA": 10.0, "X-SRC": 1.1, "X-SPA": 0.9, "Both": 40.0}
"""R@1 over chance by task."""
ANGLES = [(90.0, 0.0), (-90.0, 10.0), (0.0, 0.0), (180.0, -10.0)]
CHANCE = 1 / 48


def found(lift):
    r1 = CHANCE * lift
    rest = {f"R@{k}": min(1.0, r1 * k) for k in (5, 10)} | {f"chance@{k}": CHANCE * k for k in (5, 10)}
    return {"queries": 48.0, "R@1": r1, "chance@1": CHANCE, "excess@1": r1 - CHANCE, "lift@1": lift, **rest, "MedR": 2.0, "MnR": 5.5}


def sided(lift):
    return {"text_to_audio": found(lift), "audio_to_text": found(lift * 1.5)}


def evaluation(root, name, factor=1.0, bare=False):
    """Write an evaluation; a bare one is of a cache of embeddings, which has neither words nor rooms."""
    folder = root / f"stages/evaluate_spatial/{name}"
    retrieval = {task: sided(lift * factor) for task, lift in TASKS.items()}
    scores = {
        "items": ITEMS, "retrieval": retrieval,
        "intra_modal": {side: {task: found(lift) for task, lift in TASKS.items()} for side in ("audio", "text")},
        "iidr": {
            name: {"source": 2.5, "spatial": "infinite", "distance_same_source": 0.25, "distance_same_space": None}
            for name in ("audio_source", "audio_spatial", "text_source", "text_spatial")
        },
    }  # fmt: skip
    if not bare:
        told = {"accuracy": 0.75, "balanced_accuracy": 0.7, "by_word": {"left": 0.8, "right": 0.6}, "chance": 0.25, "items": 12}
        scores |= {
            "retrieval_by_words": retrieval, "ceiling@1": {"SRC": 0.125, "SPA": 0.5}, "unreadable_clips": {},
            "physical": {
                "direction_deg": {"mean": 24.0, "median": 20.0 * factor, "p90": 61.0, "chance": 90.0},
                "distance_m": {"mean_absolute": 0.5, "of_the_mean": 0.9, "items": ITEMS},
            },
            "recordings": {"direction_deg": {
                "mean": 41.0, "median": 33.0, "p90": 80.0, "chance": 90.0, "of_mean_intensity": {"mean": 52.5, "median": 47.0},
            }},
            "zero_shot": {"prompts": {"direction": told}, "prototypes": {"direction": told}},
            "swap": {"items": 12, "right_at_first": 0.9, "swapped": 0.95, "removed": 0.1, "kept": {"distance": 0.9},
                     "R@10": {"before": 0.8, "after": 0.7, "items": 10}},
        }  # fmt: skip
        vectors = foa.unit_vector(*np.array([ANGLES[item % 4] for item in range(ITEMS)]).T).astype(np.float32)
        ids = {"source_id": np.repeat([f"clip{n}" for n in range(4)], 4), "spatial_id": np.tile([f"rir{n}" for n in range(4)], 4)}
        folder.mkdir(parents=True)
        np.savez(folder / "embeddings.npz", direction=vectors, **ids)
    atomic.write_json(folder / "scores.json", scores)
    return f"stages/evaluate_spatial/{name}"


def training(root, name, val=0.4, **about):
    folder = root / f"stages/train_spatial/{name}"
    told = {"weights": 1000, "steps": 60, "best_step": 40, "train_clips": 30, "train_rirs": 24, "val_top1": val, "faults": []}
    atomic.write_json(folder / "training.json", {**told, **about})
    looks = {} if val is None else {"val_source_top1": [[20, 0.2], [40, val]], "val_spatial_top1": [[20, 0.1], [40, val]]}
    atomic.write_json(folder / "curves.json", {"loss": [[1, 4.0], [60, 2.0]], "space": [[1, 2.0], [60, 1.0]], **looks})
    return f"stages/train_spatial/{name}"


def study(root, factors=(("delsa", 1.0, 0.4), ("delsa", 1.2, 0.5), ("other", 0.5, 0.2))):
    """Write several trainings; returns the runs."""
    runs = []
    for name, factor, val in factors:
        seed = 1 + sum(run.model == name for run in runs)
        about = {"faults": ["compat: sides mirrored"]} if name == "other" else {}
        scores, trained = evaluation(root, f"{name}{seed}", factor), training(root, f"{name}{seed}", val, **about)
        runs.append(Run(name, seed, scores, trained))
    return tuple(runs)


def surroundings(root, stored=True):
    """Write rooms, their pictures, and scenes: a source on each side, in the front and behind, as FOA files or listed only."""
    rows = []
    for number, (azimuth, elevation) in enumerate(ANGLES):
        rir = np.zeros((4, 400), np.float32)
        rir[:, 50] = 2.0 * foa.gains(azimuth, elevation)
        write_float(root / ROOMS / f"rirs/rir{number}.wav", rir, RATE)
        row = {"azimuth_deg": azimuth, "elevation_deg": elevation, "source_distance_m": 0.5, "area_m2": 30.0, "fullband_T30_ms": 400.0}
        rows.append({
            **row, "spatial_id": f"rir{number}", "room_id": f"room{number}", "split": ("train", "val", "test", "test")[number], "fs": RATE,
            "rir_path": f"rirs/rir{number}.wav", "delay_samples": 50, "descriptor_id": words.descriptor_id(words.describe(row)),
        })  # fmt: skip
    write_catalogue(root / ROOMS, rows, {"self_test": {"gain_error": 6e-7}, "nominal_agreement": 0.975, "unreachable": [{"split": "test"}]})
    catalogue, index = open_catalogue(root / ROOMS), []
    for clip in range(4):
        dry = (0.6 * np.random.default_rng(clip).standard_normal(RATE // 4)).clip(-0.6, 0.6).astype(np.float32)
        audio.write(root / f"stages/prepare/aa/{clip}.wav", dry, RATE)
        for number, row in enumerate(rows):
            path = f"{SCENES}/foa/{clip}-{number}.wav" if stored else ""
            if stored:
                write_float(root / path, dry * catalogue.rir(number)[:, 50:51], RATE)
            index.append({
                "scene_id": f"{clip}-{number}", "source_id": f"clip{clip}", "spatial_id": f"rir{number}", "foa_path": path,
                "clip_path": f"stages/prepare/aa/{clip}.wav", "caption": f"clip {clip} in room {number} {HOSTILE}",
                "status": "rejected" if (clip, number) == (0, 0) else "accepted", **{name: row[name] for name in words_columns()},
            })  # fmt: skip
    (root / SCENES).mkdir(parents=True, exist_ok=True)
    pd.DataFrame(index).to_parquet(root / SCENES / "index.parquet")
    of_room = {"spatial_id": "rir0", "split": "train"}
    pictures = [("directions", "directions", "Where the sources are", {})]
    pictures += [(f"{kind}_rir0", kind, f"30 m² {HOSTILE}", of_room) for kind in ("plan", "decay")]
    for stem, *_ in pictures:
        svg = '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="32"><rect width="64" height="32" fill="#888"/></svg>'
        atomic.write_text(root / PICTURES / f"{stem}.svg", svg)
    listed = [{"svg": f"{stem}.svg", "kind": kind, "title": title, **more} for stem, kind, title, more in pictures]
    atomic.write_json(root / PICTURES / "pictures.json", {"pictures": listed})


def words_columns():
    return ("azimuth_deg", "elevation_deg", "source_distance_m", "area_m2", "fullband_T30_ms")


def reported(root, name, runs, scenes=SCENES, pictures=PICTURES, **settings):
    """Run the stage; returns its output folder and result."""
    output = root / f"stages/report_spatial/{name}"
    output.mkdir(parents=True)
    request = Request(
        f"study {HOSTILE}", runs, ROOMS, "x: 1\n", "./run.sh delsa", Settings(**settings), pictures=pictures, scenes=scenes
    )  # fmt: skip
    return output, run(request, Context(output, root, emit=lambda *_: None))
