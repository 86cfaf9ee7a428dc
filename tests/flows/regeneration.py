"""A small published dataset to change and regenerate: 0.2 s sounds, gold clips and one classical augmentation; no server, no training."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from core import audio, config
from core.devices import Device
from core.engine import Engine, forget_forced
from core.keys import FileDigests
from core.store import Store
from flows.regenerate import graph

RATE = 8000
LABELS = ("dog", "rain", "bell", "door")


def sound(number):
    """0.2 s that nobody else has."""
    times = np.arange(RATE // 5) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 2 * number) * times)).astype(np.float32)


class World:
    """A folder of sounds with its table, and a data root."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.sounds = folder, folder / "sounds"
        splits = ["test" if number % 10 == 0 else "val" if number % 10 == 1 else "train" for number in range(rows)]
        self.rows = [{"path": f"{number:04d}.wav", "label": LABELS[number % 4], "split": split} for number, split in enumerate(splits)]
        for number, row in enumerate(self.rows):
            audio.write(self.sounds / row["path"], sound(number), RATE)
        self.save()

    def save(self):
        with (self.sounds / "clips.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, ["path", "label", "split"])
            writer.writeheader()
            writer.writerows(self.rows)

    def train(self):
        return [number for number, row in enumerate(self.rows) if row["split"] == "train"]

    def settings(self, *more, sources=("gold", "noise")):
        named = {
            "dataset.name": "toy", "dataset.root": str(self.sounds), "dataset.csv": "clips.csv", "dataset.prepare.split_column": "split",
            "measures": False, "num_samples": len(self.train()), "shards": 2,
            "arms": [{"name": "gold", "sources": ["gold"]}, {"name": "all", "sources": list(sources)}],
        }  # fmt: skip
        words = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in named.items()]
        return [*words, "augmenters.noise.num_iters=1", *more]

    def regenerate(self, *words, settings=(), root="data", **options):
        """Regenerate without Prefect; returns what was said, and what each step that ran had to do: {label: usage}."""
        store = Store(self.folder / root)
        given = ["publish_as=toy", f"settings={json.dumps(self.settings(*settings, **options))}", *words]
        resolved = config.resolve(graph.CONFIG, "regenerate", given)
        plan = graph.build_graph(resolved, FileDigests(store.root / "digests.json"), self.folder, "./run.sh regenerate")
        forget_forced(store, plan.graph, resolved.force)
        engine = Engine(store, [Device("cpu", 0, "cpu-0", "test", 8000)], afresh=frozenset(resolved.force))
        ran = {}
        for step in plan.graph:
            if not store.done(step.stage.name, step.key):
                for group in engine.shard_groups(step):
                    engine.run_shards(step, group)
                ran[step.label] = engine.run(step).usage
        self.plan = plan
        return graph.finish(resolved, plan, store), ran

    def current(self, root="data"):
        link = self.folder / root / "published/toy/current"
        return link.resolve() if link.exists() else None

    def reports(self, name="toy"):
        return [json.loads(path.read_text()) for path in sorted((self.folder / "data/published" / name).glob("reports/*/report.json"))]


def data_files(folder):
    """Return the bytes of a version's clips and tables by path; not its dates."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")
        if path.is_file() and path.name not in ("version.json", "README.md", "files.sha256")
    }  # fmt: skip
