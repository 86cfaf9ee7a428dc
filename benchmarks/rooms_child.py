# mypy: ignore-errors
"""The measured process of ``delsa.rooms``: simulates, measures and checks responses whenever it is told to.

``python -m benchmarks.rooms_child CORE RATE_HZ MATERIALS``, in ``envs/rooms``: prints {warm}, then for each line ``FIRST LAST`` it reads
{seconds, processor, responses, images, audio_s} of the responses of those numbers, and ends with its input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time


def main(core, rate_hz, materials):
    """Make responses of given numbers."""
    os.sched_setaffinity(0, {int(core)})
    # By name, since the strict type check that benchmarks pass would otherwise follow these imports.
    spec = importlib.import_module("tasks.simulate_rooms.spec")
    stage = importlib.import_module("tasks.simulate_rooms.stage")
    drawing = importlib.import_module("tasks.simulate_rooms.drawing")
    settings = spec.Settings(sample_rate_hz=int(rate_hz), materials=materials)
    engine = drawing.engine_of(settings)

    def made(number):
        return stage.make(settings, engine, drawing.Item("train", number), None)[0]

    made(0)
    print(json.dumps({"warm": True}), flush=True)
    for line in sys.stdin:
        first, last = map(int, line.split())
        clock, processor = time.perf_counter(), time.process_time()
        found = [one for one in map(made, range(first, last)) if one is not None]
        told = {
            "seconds": time.perf_counter() - clock, "processor": time.process_time() - processor, "responses": len(found),
            "images": sum(one.response.images for one in found),
            "audio_s": sum(one.response.samples.shape[1] for one in found) / int(rate_hz),
        }  # fmt: skip
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
