# mypy: ignore-errors
"""The measured side of ``doppelgangers.training``: makes pairs, takes gradient steps on ready pairs, or probes, whenever it is told to.

``python -m benchmarks.contrastive_child CORE …``, in ``envs/train``: prints {} when it is ready and warm, then for each line it reads,
``source``, ``step`` or ``probe``, {clock, processor}, the seconds that took, and ends with its input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

CLIPS, CLASSES, DIMENSIONS, FOLDS = 400, 10, 512, 5


def training(folder):
    """Return functions that make the next batch of pairs, and that take one step on a batch that is ready, at the cpu preset's sizes."""
    # By name, since the strict type check that benchmarks pass would otherwise follow these imports into torch code.
    spec = importlib.import_module("tasks.train_contrastive.spec")
    recipe = importlib.import_module("tasks.train_contrastive.recipe")
    sources = importlib.import_module("tasks.train_contrastive.sources")
    trainee_of = importlib.import_module("tasks.train_contrastive.training").Trainee
    context = importlib.import_module("core.context").Context(folder, folder, emit=lambda *_: None)
    request = spec.Request(seed=1)
    source = sources.open_source(request, context)
    trainee = trainee_of(request, recipe.plan(request.settings), source, context)
    trainee.trained.train()
    pairs, number = trainee.plan.batch_pairs, [0]
    keys = source.keys(0, pairs)
    views = source.views(keys)

    def make():
        number[0] += 1
        source.views(source.keys(number[0], pairs))

    def step():
        first, second = trainee.embeddings(views, keys)
        loss = trainee.loss_of(first, second)
        trainee.loop.optimizer.zero_grad()
        loss.backward()
        trainee.loop.optimizer.step()

    return make, step


def probing(folder):
    """Return a function that probes as many embeddings as ESC-10 has, linearly over five folds."""
    stage = importlib.import_module("tasks.probe.stage")
    spec = importlib.import_module("tasks.probe.spec")
    context = importlib.import_module("core.context").Context(folder, folder, emit=lambda *_: None)
    rng = np.random.default_rng(0)
    own = np.arange(CLIPS) % CLASSES
    array = rng.standard_normal((CLASSES, DIMENSIONS))[own] + 4 * rng.standard_normal((CLIPS, DIMENSIONS))
    embedded = folder / "stages/embed/aa"
    embedded.mkdir(parents=True)
    np.save(embedded / "embeddings.npy", array.astype(np.float32))
    table = {
        "clip_id": [f"{n}" for n in range(CLIPS)],
        "label": [f"{n}" for n in own],
        "fold": [str(1 + n // CLASSES % FOLDS) for n in range(CLIPS)],
    }
    pd.DataFrame({**table, "split": "", "heard": False}).to_parquet(embedded / "table.parquet")
    return lambda: stage.run(spec.Request("stages/embed/aa"), context)


def main(*cores):
    """Do what the lines say."""
    os.sched_setaffinity(0, {int(core) for core in cores})
    torch.set_num_threads(len(cores))
    with tempfile.TemporaryDirectory() as scratch:
        make, step = training(Path(scratch))
        work = {"source": make, "step": step, "probe": probing(Path(scratch))}
        for one in work.values():
            one()
        print(json.dumps({}), flush=True)
        for line in sys.stdin:
            clock, processor = time.perf_counter(), time.process_time()
            work[line.strip()]()
            print(json.dumps({"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
