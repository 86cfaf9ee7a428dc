# mypy: ignore-errors
"""The measured side of ``syntone.synthesis``: runs in ``envs/data`` and makes the same clips once, in one of two ways.

``python -m benchmarks.syntone_child ours|theirs FOLDER FREQUENCIES AMPLITUDES`` prints {synthesis, whole}, processor seconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy import signal

from core.context import Context
from tasks.synthesize_grid import cells, shards, spec, stage

RATE_HZ = 16000


def theirs(folder, freqs, amps):
    """Do the published loop: SciPy for every clip, float64, into one array; then write the array. Returns when the clips were made."""
    times = np.linspace(0, 1, RATE_HZ)
    made, row = np.zeros((len(freqs) * len(amps) * 4, RATE_HZ)), 0
    for freq in freqs:
        for amp in amps:
            for waveform in spec.WAVEFORMS:
                if waveform == "sine":
                    made[row] = amp * np.sin(2 * np.pi * freq * times)
                elif waveform == "triangle":
                    made[row] = amp * signal.sawtooth(2 * np.pi * freq * times, 0.5)
                elif waveform == "sawtooth":
                    made[row] = amp * signal.sawtooth(2 * np.pi * freq * times)
                else:
                    made[row] = amp * signal.square(2 * np.pi * freq * times)
                row += 1
    worked = time.process_time()
    np.save(folder / "x.npy", made)
    return worked


def ours(folder, freqs, amps):
    """Make the clips block by block with the stage's code, and return when they were made; run the whole stage on one shard after that."""
    settings = spec.Settings(
        sample_rate_hz=RATE_HZ,
        freq_start_hz=freqs[0],
        freq_end_hz=freqs[-1],
        num_freqs=len(freqs),
        num_amps=len(amps),
        legacy_time_axis=True,
    )
    renderer = cells.Renderer(settings)
    for first, last in shards.blocks(0, settings.clips, settings.samples):
        renderer.block(first, last)
    worked = time.process_time()
    request, context = spec.Request(settings, 1), Context(folder, folder, emit=lambda kind, values: None)
    stage.run_shards(request, context, [0])
    if stage.run(request, context).clips != len(freqs) * len(amps) * 4:
        raise RuntimeError("clips are missing")
    return worked


def main(way, folder, freqs, amps):
    """Work once and say how long it took."""
    Path(folder).mkdir(parents=True)
    arguments = Path(folder), np.linspace(440.0, 8000.0, int(freqs)), np.linspace(0.1, 1.0, int(amps))
    started = time.process_time()
    made = {"ours": ours, "theirs": theirs}[way](*arguments)
    # Our whole stage makes the clips once more; theirs wrote what it had made.
    begun = made if way == "ours" else started
    print(json.dumps({"synthesis": made - started, "whole": time.process_time() - begun}))


if __name__ == "__main__":
    main(*sys.argv[1:])
