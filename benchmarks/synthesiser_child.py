# mypy: ignore-errors
"""The measured sides of ``doppelgangers.render``: renders batches of a synthesiser whenever it is told to, ours or SynthAX's.

``python -m benchmarks.synthesiser_child ours|theirs SYNTH BATCH CORE …``, in ``envs/train`` or ``envs/synthax``: prints {first}, the
seconds until the first batch was there (compilation), then for each line it reads {clock, processor}, the seconds of one more batch, and
ends with its input. Parameters are drawn beforehand, and anew for every batch.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time

RATE_HZ, DURATION_S, CONTROL_HZ = 16000, 1.0, 480


def ours(name, batch, cores):
    """Return a function that renders one batch of ours, given its number."""
    import torch

    torch.set_num_threads(cores)
    # By name, since the strict type check that benchmarks pass would otherwise follow this import into torch code.
    synthesiser = importlib.import_module("tasks.synthesiser").build(name, RATE_HZ, DURATION_S, CONTROL_HZ)
    drawn = [synthesiser.draw(range(batch * number, batch * (number + 1))) for number in range(8)]
    return lambda number: synthesiser.render(drawn[number % 8], range(batch * number, batch * (number + 1))).shape


def theirs(name, batch, cores):
    """Return a function that renders one batch of SynthAX's, given its number."""
    import jax
    from synthax.config import SynthConfig
    from synthax.synth import ParametricSynth, Voice, VoiceExpanded

    config = SynthConfig(batch_size=batch, sample_rate=RATE_HZ, buffer_size_seconds=DURATION_S, control_rate=CONTROL_HZ)
    synth = {
        "voice": lambda: Voice(config), "voicefm": lambda: VoiceExpanded(config),
        "parametric": lambda: ParametricSynth(config, sine=2, square_saw=2, fm_sine=1, fm_square_saw=1),
    }[name]()  # fmt: skip
    initial = jax.jit(synth.init)
    drawn = [jax.block_until_ready(initial(jax.random.PRNGKey(number))) for number in range(8)]
    render = jax.jit(synth.apply)
    return lambda number: jax.block_until_ready(render(drawn[number % 8])).shape


def main(way, name, batch, *cores):
    """Measure one batch after the other."""
    os.sched_setaffinity(0, {int(core) for core in cores})
    render = {"ours": ours, "theirs": theirs}[way](name, int(batch), len(cores))
    started = time.perf_counter()
    if tuple(render(0)) != (int(batch), RATE_HZ):
        raise RuntimeError("sounds are missing")
    print(json.dumps({"first": time.perf_counter() - started}), flush=True)
    for number, _ in enumerate(sys.stdin, start=1):
        clock, processor = time.perf_counter(), time.process_time()
        render(number)
        told = {"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
