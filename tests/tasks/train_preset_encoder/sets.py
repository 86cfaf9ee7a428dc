"""Small preset sets in the format that render_presets writes, and trainings on them, for the tests beside and of the stages that follow."""

import json

import numpy as np
import pandas as pd

from core.context import Context
from tasks.presets.layout import Layout
from tasks.presets.parameters import Parameter, SynthSpec
from tasks.presets.reading import MUST_AGREE
from tasks.train_preset_encoder import stage
from tasks.train_preset_encoder.spec import Request, Settings

FOLDER = "stages/render_presets/aa"
SMALL = SynthSpec(
    "small",
    (
        Parameter(0, "osc1_level", "num"), Parameter(1, "osc1_wave", "cat", cardinality=3), Parameter(2, "on", "bin"),
        Parameter(3, "osc1_pitch", "num"),
        Parameter(4, "mode", "cat", cardinality=4, excluded_categories=(1,)), Parameter(5, "steps", "num", cardinality=5),
    ),
)  # fmt: skip


def wide(used, cardinalities):
    """A spec of ``used`` parameters, of which the last ones are categories: all that network sizes hang on."""
    scalars = used - len(cardinalities)
    kinds = [Parameter(k, f"n{k}", "num") for k in range(scalars)]
    kinds += [Parameter(scalars + k, f"c{k}", "cat", cardinality=count) for k, count in enumerate(cardinalities)]
    return SynthSpec("wide", tuple(kinds))


def embeddings_of(spec, presets, dimensions, seed=5):
    """What stands for the sound: a smooth function of the one-hot preset, with axes of very different size."""
    rng, layout = np.random.default_rng(seed), Layout(spec)
    hot = np.zeros((len(presets), layout.width))
    hot[:, : len(layout.scalar)] = presets[:, layout.scalar]
    for number, place in enumerate(layout.categorical):
        hot[np.arange(len(presets)), len(layout.scalar) + layout.offsets[number] + presets[:, place].astype(int)] = 1
    mixed = np.tanh(hot @ rng.normal(size=(layout.width, 24))) @ rng.normal(size=(24, dimensions))
    return (mixed * np.geomspace(0.1, 10, dimensions) + np.linspace(-50, 50, dimensions)).astype(np.float32)


def write(root, rows=400, folder=FOLDER, spec=SMALL, dimensions=6, seed=0, share=(0.6, 0.2), embed=embeddings_of, **changed):
    """Write a preset set; returns its presets and embeddings."""
    presets, target = spec.sample(seed, 0, rows), root / folder
    target.mkdir(parents=True, exist_ok=True)
    embeddings = embed(spec, presets, dimensions)
    np.save(target / "parameters.npy", presets)
    np.save(target / "embeddings.npy", embeddings)
    ends = round(share[0] * rows), round((share[0] + share[1]) * rows)
    split = np.where(np.arange(rows) < ends[0], "train", np.where(np.arange(rows) < ends[1], "val", "test"))
    names = [f"sound {k}" for k in range(rows)]
    table = {"row": range(rows), "index": range(rows), "tries": 1, "rms": 0.1, "note": 60, "velocity": 100, "split": split, "name": names}
    pd.DataFrame({**table, "labels": [["soft", "loud"][k % 2] for k in range(rows)]}).to_parquet(target / "table.parquet", index=False)
    meta = {"spec": spec.to_json(), "spec_digest": spec.digest, "backend": "builtin", "plugin": {}, "sample_rate_hz": 16000}
    meta |= {"midi": {"notes": [60], "velocities": [100], "hold_s": 2.0}, "duration_s": 5.0, "fade_s": 0.1, "audio_model": "toy"}
    meta |= {"dimensions": dimensions, "rows": rows, "seed": seed, "origin": "sampled", "names": None, **changed}
    meta = {**{name: {} for name in MUST_AGREE}, **meta}
    (target / "presets.json").write_text(json.dumps(meta))
    return presets, embeddings


def train(root, name="run", model="mlp_oh", seed=1, emit=lambda kind, values: None, fields=None, **settings):
    """Run the stage; returns its result and output folder."""
    output = root / "stages/train_preset_encoder" / name
    output.mkdir(parents=True, exist_ok=True)
    tiny = {"sizes": {"hidden": 16}, "epochs": 3, "batch_presets": 32, "rankings": 16, "candidates": 8}
    request = Request(**{"train": FOLDER, "model": model, "seed": seed, "settings": Settings(**{**tiny, **settings}), **(fields or {})})
    return stage.run(request, Context(output, root, threads=1, emit=emit)), output
