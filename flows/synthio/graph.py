"""Which stage follows which in ``synthio``. No Prefect in here: ``plan`` uses it without a server.

demo or CSV → prepare → stratify → caption ─┬→ train_text_to_audio → generate → clap_filter ─┬→ train_ast × arm × seed → report
                   captioned sounds ────────┴→ train_clap ───────────────────────────────────┘
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import to_yaml
from core.errors import InvalidValueError
from core.graph import FlowPlan, Graph
from core.keys import FileDigests
from flows.synthio.config import Config, Dataset
from tasks.augment import spec as augment
from tasks.caption import spec as caption
from tasks.clap_filter import spec as clap_filter
from tasks.generate import spec as generate
from tasks.prepare import spec as prepare
from tasks.report import spec as report
from tasks.stratify import spec as stratify
from tasks.synthesize_captioned import spec as synthesize_captioned
from tasks.synthesize_demo import spec as synthesize_demo
from tasks.train_ast import spec as train_ast
from tasks.train_clap import spec as train_clap
from tasks.train_text_to_audio import spec as train_text_to_audio

CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    return f"synthio · {config.dataset.name} · n={config.num_samples} · seed {config.draw_seed}"


def build_graph(config: Config, digests: FileDigests, cwd: Path, command: str) -> FlowPlan:
    """Return the run's work.

    Args:
        config: the resolved configuration.
        digests: remembers digests of outside files.
        cwd: what a relative dataset root refers to.
        command: what to type to get the same results; shown on the page.

    Raises:
        InvalidValueError: the dataset's root or CSV does not exist.
    """
    as_given = to_yaml(config)  # what the page shows holds no path of this machine
    config = _with_absolute_paths(config, cwd)
    graph = Graph(digests)
    prepared = _prepared(graph, config.dataset, cwd)
    drawn = graph.add("stratify", stratify.Request(clips=prepared, num_samples=config.num_samples, seed=config.draw_seed)).output
    gold = graph.add("caption", caption.Request(clips=drawn, settings=config.caption)).output
    generated, filtered = _synthetic(graph, config, gold)
    sources = {"gold": gold, **filtered, **_augmented(graph, config, gold)}
    arms = []
    for arm in config.arms:
        for seed in config.training_seeds:
            request = train_ast.Request(
                train=tuple(sources[name] for name in arm.sources), evaluation=prepared, arm=arm.name, seed=seed, settings=config.train_ast
            )
            step = graph.add("train_ast", request, f"train_ast {arm.name}, seed {seed}")
            arms.append(report.ArmRun(arm=arm.name, seed=seed, path=step.output))
    page = graph.add(
        "report",
        report.Request(
            title=title(config), prepare=prepared, gold=gold, generated=tuple(generated.values()), filtered=tuple(filtered.values()),
            sources=tuple(filtered), arms=tuple(arms), command=command, config=as_given, settings=config.report,
        ),
    )  # fmt: skip
    return FlowPlan(graph, title(config), config.dataset.name, page.output, [prepared, gold, *filtered.values()])


def _with_absolute_paths(config: Config, cwd: Path) -> Config:
    """Let the model files that a person names be relative to where run.sh was called."""

    def absolute(text: str, where: str) -> str:
        path = (cwd / Path(text).expanduser()).resolve()
        if text and not path.exists():
            raise InvalidValueError("no such file or folder", where=where, allowed="an existing path", received=str(path))
        return str(path) if text else ""

    return replace(
        config,
        clap_checkpoint=absolute(config.clap_checkpoint, "clap_checkpoint"),
        train_text_to_audio=replace(
            config.train_text_to_audio, pretrained=absolute(config.train_text_to_audio.pretrained, "train_text_to_audio.pretrained")
        ),
        train_ast=replace(config.train_ast, pretrained=absolute(config.train_ast.pretrained, "train_ast.pretrained")),
    )


def _prepared(graph: Graph, dataset: Dataset, cwd: Path) -> str:
    """Add the steps up to the checked manifest; return its folder."""
    if dataset.root:
        root = (cwd / Path(dataset.root).expanduser()).resolve()
        csv = root / dataset.csv
        for name, path in (("dataset.root", root), ("dataset.csv", csv)):
            if not path.exists():
                hint = "set dataset.root=FOLDER" if name == "dataset.root" else "the table's path is relative to dataset.root"
                raise InvalidValueError("no such file or folder", where=name, allowed="an existing path", received=str(path), hint=hint)
        return graph.add("prepare", prepare.Request(csv=str(csv), root=str(root), settings=dataset.prepare)).output
    if dataset.csv:
        hint = "set dataset.root=FOLDER"
        raise InvalidValueError("missing", where="dataset.root", allowed="the folder with the audio", received=dataset.root, hint=hint)
    made = graph.add("synthesize_demo", synthesize_demo.Request(settings=dataset.synthesize)).output
    return graph.add("prepare", prepare.Request(csv=f"{made}/demo.csv", root=made, settings=dataset.prepare)).output


def _synthetic(graph: Graph, config: Config, gold: str) -> tuple[dict[str, str], dict[str, str]]:
    """Add generation and filtering for every generator some arm uses; return the folders before and after the filter, by name."""
    used = [name for name in config.generators if any(name in arm.sources for arm in config.arms)]
    if not used:
        return {}, {}
    pretraining = graph.add("synthesize_captioned", synthesize_captioned.Request(settings=config.pretraining)).output
    request = train_text_to_audio.Request(gold=gold, pretraining=pretraining, settings=config.train_text_to_audio)
    model = graph.add("train_text_to_audio", request).output
    generated = {
        name: graph.add(
            "generate",
            generate.Request(clips=gold, model=model, shards=config.shards, settings=config.generators[name]),
            f"generate {name}",
        ).output
        for name in used
    }
    if not config.clap_filter_on:
        return generated, generated
    checkpoint = config.clap_checkpoint
    if not checkpoint:
        checkpoint = graph.add("train_clap", train_clap.Request(gold=gold, pretraining=pretraining, settings=config.train_clap)).output
    filtered = {
        name: graph.add(
            "clap_filter",
            clap_filter.Request(clips=folder, checkpoint=checkpoint, shards=config.shards, settings=config.clap_filter),
            f"clap_filter {name}",
        ).output
        for name, folder in generated.items()
    }
    return generated, filtered


def _augmented(graph: Graph, config: Config, gold: str) -> dict[str, str]:
    """Add the classical augmentations that some arm uses; they need no filter, since they are the gold clips themselves, altered."""
    used = [name for name in config.augmenters if any(name in arm.sources for arm in config.arms)]
    return {
        name: graph.add(
            "augment", augment.Request(clips=gold, shards=config.shards, settings=config.augmenters[name]), f"augment {name}"
        ).output
        for name in used
    }


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal."""
    return str(result["table"])
