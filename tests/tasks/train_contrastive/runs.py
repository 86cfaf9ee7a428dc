"""Small trainings for the tests beside: a network of 4 channels, one second of sound, a handful of steps."""

import numpy as np

from core import audio, manifest
from core.context import Context
from tasks.train_contrastive import stage
from tasks.train_contrastive.spec import Request, Settings

SMALL = {"width": 4, "dimensions": 16, "epochs": 2, "pairs_per_epoch": 24, "batch_pairs": 6, "train_fraction": 0.75, "sample_pairs": 0,
         "precision": "float32"}  # fmt: skip


def context_for(root, name, emit=lambda kind, values: None):
    output = root / "stages/train_contrastive" / name
    output.mkdir(parents=True, exist_ok=True)
    return Context(output, root, threads=1, emit=emit)


def train(root, name="run", seed=1, emit=lambda kind, values: None, clips="", folder="", pairs="", **settings):
    """Run the stage; returns its result and output folder."""
    context = context_for(root, name, emit)
    request = Request(seed=seed, clips=clips, folder=folder, settings=Settings(**{**SMALL, **settings}), pairs=pairs)
    return stage.run(request, context), context.output


def tone(frequency_hz, seconds, rate_hz=16000):
    return (0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def recordings(root, folder="stages/stratify/aa", lengths=(0.2, 1.0, 1.5, 2.0, 3.1), split="train", rate_hz=16000, labels=("tone",)):
    """Write clips of several lengths, shorter than a view, just as long, and longer, and their manifest; the labels take turns."""
    rows = []
    for number, seconds in enumerate(lengths):
        path = f"{folder}/audio/{number}.wav"
        audio.write(root / path, tone(200 + 150 * number, seconds, rate_hz), rate_hz)
        name = manifest.clip_id(folder, number)
        rows.append(
            manifest.row(
                name, path, "gold", label=labels[number % len(labels)], split=split, duration_s=seconds, parents=["gold" + str(number)]
            )
        )
    manifest.write(root / folder, manifest.frame(rows))
    return rows
