"""The table of docs/mixing.md, cell by cell: which source feeds which trainer, and what is refused."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from core import config, keys
from core.datasets import versions
from core.errors import InvalidValueError
from tests import datasets as toy
from tests.house import ROOT

LABELLED = ("vanilla", "noise", "spatial", "pool", "presets", "more")
UNLABELLED = ("dexed", "voice", "sounds")
MADE_BY = {
    "vanilla": "generate", "noise": "augment", "spatial": "spatialise", "pool": "retrieve", "presets": "retrieve", "more": "mix_clips",
    "dexed": "caption", "voice": "synthesize", "sounds": "synthesize_captioned",
}  # fmt: skip


def planned(flow, tmp_path, words, files=()):
    """Return a flow's plan; ``more`` is a dataset of others."""
    (tmp_path / "more").mkdir(exist_ok=True)
    (tmp_path / "more/clips.csv").write_text("path,label\n")
    module = importlib.import_module(f"flows.{flow}.graph")
    resolved = config.resolve(module.CONFIG, flow, getattr(module, "translate", list)(words), files)
    return module.build_graph(resolved, keys.FileDigests(tmp_path / "digests.json"), cwd=tmp_path, command=f"./run.sh {flow}")


def trainer(plan, stage):
    """Return the last training of a stage, and which stages made the clips that it is given, mixtures opened up."""
    request = [step.request for step in plan.graph if step.stage.name == stage][-1]
    given = request.train if stage == "train_ast" else (request.clips,)
    made = []
    for folder in given:
        step = plan.graph[folder]
        opened = [part for source in step.request.sources for part in source.folders] if "for " in step.label else [folder]
        made += [plan.graph[part].stage.name for part in opened]
    return request, made


MORE = "pools.more={name: more, root: more, csv: clips.csv}"
TRAINERS = {
    "train_ast": ("synthio", ["arms=[{name: A, sources: [gold, S]}]", "measures=false", MORE]),
    "train_contrastive": ("doppelgangers", ["encoders.E={sources: [gold, S], temporal_jitter: true}", f"sources.{MORE}"]),
    "train_spatial": ("delsa", ["models.M={sources: [gold, S]}", f"sources.{MORE}"]),
    "train_supervised": ("doppelgangers", ["baselines=[supervised]", "supervised_on=[gold, S]", f"sources.{MORE}"]),
}


@pytest.mark.parametrize("stage", TRAINERS)
@pytest.mark.parametrize("source", [*LABELLED, *UNLABELLED])
def test_every_source_feeds_every_trainer_that_can_hear_it(tmp_path, stage, source):
    flow, template = TRAINERS[stage]
    words = [word.replace("S]", f"{source}]") for word in template]
    if source in UNLABELLED and stage in ("train_ast", "train_supervised"):
        with pytest.raises(InvalidValueError, match="has no labels; retrieve from it"):
            planned(flow, tmp_path, words)
        return
    plan = planned(flow, tmp_path, words)
    _, made = trainer(plan, stage)
    assert made[-1] == MADE_BY[source] and len(made) == 2, made
    prepared = plan.exports[0]
    for step in plan.graph:
        if step.stage.name in ("augment", "spatialise", "retrieve", "generate", "caption") and step.label != "spatialise":
            assert step.request.clips != prepared, f"{step.label} is made of train clips only"


@pytest.mark.parametrize("name", ["dexed", "more"])
def test_presets_and_datasets_of_others_teach_the_base_model(tmp_path, name):
    plan = planned("synthio", tmp_path, [f"pretrain_on={name}", MORE])
    (base,) = [step.request for step in plan.graph if step.stage.name == "train_text_to_audio"]
    assert plan.graph[base.pretraining].stage.name == "caption"


def commands():
    """Return the commands of docs/mixing.md that can be typed as they stand."""
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs/mixing.md").read_text(), re.S | re.M)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("./run.sh") and "…" not in line]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_of_the_page_can_be_typed(tmp_path, words):
    flow, *settings = words
    files = [ROOT / settings[place + 1] for place, word in enumerate(settings) if word == "--config"]
    plan = planned(flow, tmp_path, [word for word in settings if "=" in word], files)
    stages = {step.stage.name for step in plan.graph}
    assert ("search_mixture" in stages) == (flow == "synthio") and ("mix_clips" in stages) == (flow == "doppelgangers")
    assert all(Path(file).is_file() for file in files)


def test_a_published_dataset_as_a_pool_keeps_its_own_test_clips_out(tmp_path, data_root):
    versions.publish(data_root, "theirs", "audiofolder", [toy.gold(data_root)])
    words = ["arms=[{name: A, sources: [gold, theirs]}]", "measures=false", "pools.theirs={name: theirs, published: theirs}"]
    plan = planned("synthio", tmp_path, words)
    pool = next(step for step in plan.graph if step.label == "mix_clips pool theirs")
    read = plan.graph[pool.request.sources[0].folders[0]].request
    assert read.settings.split_column == "split" and Path(read.csv).parent.parent == data_root / "published/theirs"
