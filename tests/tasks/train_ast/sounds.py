"""Small made datasets and a training on them, for the tests beside."""

import zlib

import numpy as np

from core import audio, manifest
from core.context import Context
from tasks.train_ast import stage
from tasks.train_ast.spec import Request, Settings

RATE = 16000


def sound(kind, seed, seconds=0.5, rate=RATE):
    rng, times = np.random.default_rng(seed), np.arange(int(seconds * rate)) / rate
    if kind == "low":
        return (0.2 * np.sin(2 * np.pi * rng.uniform(100, 250) * times)).astype(np.float32)
    if kind == "high":
        return (0.2 * np.sin(2 * np.pi * rng.uniform(3000, 5000) * times)).astype(np.float32)
    return (0.1 * rng.standard_normal(len(times))).astype(np.float32)


def dataset(root, folder, sizes, seconds=0.5, rate=RATE, **values):
    """Write clips of three kinds and their manifest; returns its rows."""
    rows = []
    for split, count in sizes.items():
        for kind in ("low", "high", "noise"):
            for number in range(count):
                path = f"{folder}/{split}{kind}{number}.wav"
                audio.write(root / path, sound(kind, zlib.crc32(f"{folder} {split} {number}".encode()), seconds, rate), rate)
                name = manifest.clip_id(folder, split, kind, number)
                rows.append(manifest.row(name, path, "gold", label=kind, split=split, duration_s=seconds, **values))
    manifest.write(root / folder, manifest.frame(rows))
    return rows


def train(root, name="run", sources=("caption",), seed=1, gold="", emit=lambda kind, values: None, **settings):
    """Run the stage; returns its result and output folder."""
    output = root / "stages/train_ast" / name
    output.mkdir(parents=True, exist_ok=True)
    options = {"steps": 12, "batch_clips": 6, "evaluate_every": 4, **settings}
    folders = tuple(f"stages/{source}/aa" for source in sources)
    request = Request(folders, "stages/prepare/aa", seed, Settings(**options), gold and f"stages/{gold}/aa")
    return stage.run(request, Context(output, root, threads=1, emit=emit)), output
