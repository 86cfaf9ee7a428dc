"""Makes ``demo.csv`` and ``audio/*.wav``."""

from __future__ import annotations

import csv
import json

import numpy as np

from core import audio, dsp
from core.context import Context
from tasks.synthesize_demo.parameters import Draw
from tasks.synthesize_demo.sounds import CLASSES
from tasks.synthesize_demo.spec import Request, Result, Settings

COLUMNS = ("path", "label", "split", "seed", "parameters")


def make_clip(settings: Settings, label: str, split: str, index: int) -> tuple[audio.Samples, Draw]:
    """Return one clip, float32 [samples], and what was drawn for it: the dry sound, then a room, background noise and a level."""
    draw = Draw(settings.seed, label, split, index)
    times = dsp.time_axis(settings.duration_s, settings.sample_rate_hz)
    dry = dsp.unit_rms(CLASSES[label](draw, times, settings.sample_rate_hz))
    wet = dsp.room(dry, draw.rng, settings.sample_rate_hz, draw("room_t60_s", 0.1, 1.2, log=True), draw("room_wet", 0.0, 0.6))
    noise = dsp.coloured_noise(draw.rng, len(times), draw("noise_slope_db", -7, 0))
    mixed = dsp.mix_at_snr(wet, noise, draw("snr_db", 2, 28))
    return dsp.at_level(mixed, draw("level_dbfs", -38, -14)).astype(np.float32), draw


def run(request: Request, context: Context) -> Result:
    """Synthesise every clip of every class and split."""
    settings, rows = request.settings, []
    sizes = {"train": settings.train_per_class, "val": settings.val_per_class, "test": settings.test_per_class}
    work = [(label, split, index) for label in sorted(CLASSES) for split, size in sizes.items() for index in range(size)]
    (context.output / "audio").mkdir(exist_ok=True)
    for done, (label, split, index) in enumerate(work, start=1):
        samples, draw = make_clip(settings, label, split, index)
        path = f"audio/{label}-{split}-{index:04d}.wav"
        audio.write(context.output / path, samples, settings.sample_rate_hz)
        rows.append((path, label, split, draw.seed, json.dumps({"values": draw.values, "positions": draw.positions})))
        context.progress(done, len(work))
    with (context.output / "demo.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return Result(clips=len(rows), classes=tuple(sorted(CLASSES)))
