"""The curves as JSON and CSV, and everything worth watching as an event file for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from core import atomic, audio
from tasks.train_contrastive.listen import PAIRS, PICTURE
from tasks.training.events import EventWriter

EVENTS = "tensorboard"


def write_curves(curves: Mapping[str, Sequence[Sequence[float]]], folder: Path) -> None:
    """Write ``curves.json`` (name → [step, value] …) and ``curves.csv`` (a row for each point)."""
    atomic.write_json(folder / "curves.json", dict(curves))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("curve", "step", "value"))
    writer.writerows((name, int(step), value) for name, points in curves.items() for step, value in points)
    atomic.write_text(folder / "curves.csv", text.getvalue())


def write_events(folder: Path, steps: Mapping[str, Sequence[float]], looks: Mapping[str, Sequence[Sequence[float]]], last: int) -> None:
    """Write the curves at every step and look, and the pairs that ``listen`` wrote, at the last step.

    Args:
        folder: of the training; the file goes into ``tensorboard/``.
        steps: values of every step by curve.
        looks: [step, value] by curve.
        last: steps of the training.
    """
    with EventWriter(folder / EVENTS) as writer:
        for name, values in steps.items():
            for number, value in enumerate(values, start=1):
                writer.scalar(f"train/{name}", value, number)
        for name, points in looks.items():
            for step, value in points:
                writer.scalar(f"val/{name.removeprefix('val_')}", value, int(step))
        for path in sorted((folder / PAIRS).glob("*.flac")):
            samples, rate_hz = audio.read(path)
            writer.sound(f"pairs/{path.stem}", samples.mean(axis=0), rate_hz, last)
        if (folder / PICTURE).is_file():
            writer.picture("pairs/features", (folder / PICTURE).read_bytes(), last)
