"""Sources across systems, with real children: an arm tuned before it is trained, and an encoder trained on presets and rooms."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from core import config, keys, manifest
from core.devices import Device
from core.engine import Engine
from core.store import Store
from flows.doppelgangers import graph as doppelgangers
from flows.synthio import graph as synthio

SMALL = [
    "shards=2", "dataset.synthesize.train_per_class=3", "dataset.synthesize.val_per_class=2", "dataset.synthesize.test_per_class=2",
    "dataset.synthesize.duration_s=1.0",
]  # fmt: skip
ROOMS = ["simulate_rooms.train.count=4", "spatialise.per_clip=1"]
TUNED = [
    "num_samples=20", "training_seeds=[1]", "measures=false", "pretraining.count=12", "pretraining.duration_s=1.0",
    "train_text_to_audio.autoencoder_steps=2", "train_text_to_audio.diffusion_steps=2", "train_text_to_audio.width=64",
    "train_text_to_audio.depth=1", "generators.vanilla.filter=true", "generators.vanilla.generate.steps=2", "train_clap.steps=2",
    "generators.vanilla.generate.num_iters=2", "augmenters.noise.num_iters=1", "train_ast.steps=8", "train_ast.evaluate_every=4",
    "arms=[{name: gold only, sources: [gold]}, {name: mixed, sources: [gold, vanilla, noise, spatial], weights: {noise: 0.5}, "
    "tune: {trials: 4, wave: 2, startup_trials: 2, looks: 2, weights: true}}]", *(f"rooms.spatial.{word}" for word in ROOMS),
]  # fmt: skip
CROSSED = [
    "encoders={mixed: {sources: [gold, spatial, dexed, voice], weights: {gold: 2}, temporal_jitter: true, duration_s: 0.9, "
    "transform: masking}}", "train_contrastive.epochs=1", "train_contrastive.pairs_per_epoch=24", "train_contrastive.batch_pairs=8",
    "train_contrastive.width=8", "train_contrastive.precision=float32", "baselines=[random]", "probes=[knn]", "measured_pairs=0",
    "sources.presets.dexed.render_presets.n=8", "sources.presets.dexed.render_presets.notes=[60]", "sources.synths.voice.n=8",
    *(f"sources.rooms.spatial.{word}" for word in ROOMS),
]  # fmt: skip


class Work:
    """A data root, and what does the steps of a graph in it on some CPU slots."""

    def __init__(self, root):
        self.root = root

    def planned(self, flow, module, *words):
        resolved = config.resolve(module.CONFIG, flow, [*SMALL, *words])
        return module.build_graph(resolved, keys.FileDigests(self.root / "digests.json"), cwd=self.root, command=f"./run.sh {flow}")

    def done(self, plan, slots=2):
        """Do every step; returns how many children each stage had."""
        devices = [Device("cpu", index, f"cpu-{index}", "test", 8000) for index in range(slots)]
        engine = Engine(Store(self.root), devices, lease_folder=self.root.parent / "leases")
        children = {}
        for step in plan.graph:
            groups = engine.shard_groups(step)
            with ThreadPoolExecutor(slots) as pool:
                list(pool.map(lambda group, step=step: engine.run_shards(step, group), groups))
            engine.run(step)
            children.setdefault(step.stage.name, []).append(len(groups))
        return children


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """An empty data root."""
    os.environ.pop("SYNTHLOOM_CHILD", None)
    root = tmp_path_factory.mktemp("mixing") / "data"
    root.mkdir()
    (root.parent / "leases").mkdir()
    return Work(root)


def test_an_arm_of_four_sources_is_tuned_and_trained_with_the_choice(work):
    plan = work.planned("synthio", synthio, *TUNED)
    children = work.done(plan)
    assert children["search_mixture"] == [2, 2], "two trials of a wave ran side by side"
    waves = [step for step in plan.graph if step.stage.name == "search_mixture"]
    folder = work.root / waves[-1].output
    best, told = (json.loads((folder / name).read_text()) for name in ("best.json", "trials.json"))
    assert len(told) == 4 and set(told[1]["clips"]) == {"gold", "vanilla", "noise", "spatial"} and told[1]["clips"]["vanilla"] > 0
    assert told[0]["weights"] == {"noise": 0.5} and set(told[1]["weights"]) == {"vanilla", "noise", "spatial"}
    (trained,) = [step for step in plan.graph if step.label == "train_ast mixed, seed 1"]
    result = json.loads((work.root / trained.output / "result.json").read_text())
    assert result["mixture"] == {name: best[name] for name in ("gold_fraction", "weights", "score", "bound")}
    page = (work.root / plan.report / "index.html").read_text()
    assert "What was tuned" in page and "others per gold" in page


def test_an_encoder_is_trained_on_presets_rooms_and_a_synthesiser_and_probed(work):
    plan = work.planned("doppelgangers", doppelgangers, *CROSSED)
    work.done(plan)
    mixture = [step for step in plan.graph if step.stage.name == "mix_clips"][-1]
    table, evaluation = manifest.read(work.root / mixture.output), manifest.read(work.root / plan.exports[0])
    assert set(table["origin"]) == {"gold", "spatialise", "preset_clips", "synthesize"} and set(table["split"]) == {"train"}
    held_out = set(evaluation.loc[evaluation["split"] != "train", "clip_id"])
    assert not held_out & {*table["clip_id"], *(parent for parents in table["parents"] for parent in parents)}
    (trained,) = [step for step in plan.graph if step.stage.name == "train_contrastive" and step.request.clips == mixture.output]
    heard = json.loads((work.root / trained.output / "training.json").read_text())
    assert heard["clips"] > 0 and set(table["clip_id"]) <= set(heard["heard"])
    assert "mixed" in (work.root / plan.report / "index.html").read_text()
