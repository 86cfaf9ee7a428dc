"""Small grids in the format that ``synthesize_grid`` writes, made here by other means, so that the stages stay independent."""

import itertools
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

RATE = 16000
WAVEFORMS = ("sine", "triangle", "sawtooth", "square")


def waves(angles):
    parts = np.mod(angles / (2 * np.pi), 1)
    return {
        "sine": np.sin(angles), "triangle": 1 - 4 * np.abs(parts - 0.5), "sawtooth": 2 * parts - 1, "square": np.where(parts < 0.5, 1, -1),
    }  # fmt: skip


def write_grid(
    root, folder="stages/synthesize_grid/aa", freqs=(440.0, 880.0), amps=(0.1, 1.0), samples=RATE, shards=2, waveforms=WAVEFORMS
):
    """Write a grid below ``root``; returns its folder's name and the sounds."""
    output = root / folder
    rows = list(itertools.product(freqs, amps, range(len(waveforms))))
    sounds = [amp * waves(2 * np.pi * hz * np.arange(samples) / RATE)[waveforms[w]] for hz, amp, w in rows]
    sounds = np.asarray(sounds, np.float32)
    table = pd.DataFrame(rows, columns=["frequency", "amplitude", "waveform"])
    table.insert(0, "index", np.arange(len(rows)))
    bounds = [len(rows) * shard // shards for shard in range(shards + 1)]
    names = []
    for shard in range(shards):
        names.append(f"shards/{shard:04d}/clips.parquet")
        (output / names[-1]).parent.mkdir(parents=True)
        part = sounds[bounds[shard] : bounds[shard + 1]]
        listed = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), samples)
        pq.write_table(pa.table({"samples": listed}), output / names[-1], row_group_size=5)
    table.to_parquet(output / "factors.parquet", index=False)
    factors = [
        {"name": "frequency", "kind": "continuous", "unit": "Hz", "values": list(freqs)},
        {"name": "amplitude", "kind": "continuous", "values": list(amps)},
        {"name": "waveform", "kind": "nominal", "values": list(waveforms)},
    ]
    description = {
        "sample_rate_hz": RATE, "duration_s": samples / RATE, "samples": samples, "clips": len(rows), "shards": names,
        "shard_rows": [list(pair) for pair in itertools.pairwise(bounds)], "form": "parquet", "factors": factors, "oscillator": "naive",
        "legacy_time_axis": False, "seed": 0, "warnings": ["a warning of the grid"],
    }  # fmt: skip
    (output / "grid.json").write_text(json.dumps(description))
    return folder, sounds
