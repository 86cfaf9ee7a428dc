"""Small features in the format that featurise writes, and a training on them, for the tests beside."""

import json

import numpy as np
import pandas as pd

from core.context import Context
from tasks.train_vae import stage
from tasks.train_vae.spec import Request, Settings

FOLDER = "stages/featurise/aa"
MELS, FRAMES = 16, 8


def features(root, waveforms=4, frequencies=8, amplitudes=2, splits=("train", "train", "train", "val", "test"), folder=FOLDER):
    """Write features of 4 × 8 × 2 clips: a peak whose place, width and height are the factors; returns the array."""
    rows, clips = [], []
    mel = np.arange(MELS)[:, None] + np.zeros((1, FRAMES))
    for f in range(frequencies):
        for a in range(amplitudes):
            for w in range(waveforms):
                centre, height = 2 + f * (MELS - 4) / frequencies, 0.5 + 0.4 * a / amplitudes
                clips.append(height * np.exp(-(((mel - centre) / (0.7 + 0.6 * w)) ** 2)))
                split = splits[(f * waveforms + w) % len(splits)]
                rows.append({"index": len(rows), "waveform": w, "frequency": 400.0 + 100 * f, "amplitude": 0.1 * (a + 1), "split": split})
    array, target = np.stack(clips)[:, None].astype(np.float32), root / folder
    target.mkdir(parents=True)
    np.save(target / "features.npy", array)
    table = pd.DataFrame(rows)
    table.to_parquet(target / "factors.parquet", index=False)
    factors = [
        {"name": "waveform", "kind": "nominal", "values": ["sine", "triangle", "sawtooth", "square"][:waveforms]},
        {"name": "frequency", "kind": "continuous", "unit": "Hz", "values": sorted(set(table["frequency"]))},
        {"name": "amplitude", "kind": "continuous", "unit": "", "values": sorted(set(table["amplitude"]))},
    ]
    about = {"sample_rate_hz": 16000, "n_fft": 512, "hop": 128, "mels": MELS, "frames": FRAMES, "samples": 1000, "power": 2.0}
    about |= {"normalisation": "global_max", "offset": 0.0, "scale": 1.0, "flagged": [], "factors": factors}
    (target / "features.json").write_text(json.dumps(about))
    return array


def train(root, name="run", method="vae", seed=1, emit=lambda kind, values: None, **settings):
    """Run the stage; returns its result and output folder."""
    output = root / "stages/train_vae" / name
    output.mkdir(parents=True, exist_ok=True)
    options = {"epochs": 2, "batch_clips": 8, "latent": 3, **settings}
    return stage.run(Request(FOLDER, method, seed, Settings(**options)), Context(output, root, threads=1, emit=emit)), output
