"""Which stage follows which in ``doppelgangers``. No Prefect in here: ``plan`` uses it without a server.

demo or CSV → prepare ─┐
train_contrastive × encoder × seed → embed → probe × kind → report_probes
       baselines: random weights, mel statistics ─┘
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import to_yaml
from core.graph import FlowPlan, Graph
from core.keys import FileDigests
from flows.datasets import prepared_dataset
from flows.doppelgangers.compat import translate
from flows.doppelgangers.config import Config
from tasks.embed import spec as embed
from tasks.probe import spec as probe
from tasks.report_probes import spec as report_probes
from tasks.train_contrastive import spec as train_contrastive

__all__ = ["CONFIG", "build_graph", "show", "title", "translate"]

CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    encoders, seeds = len(config.encoders), len(config.training_seeds)
    return f"doppelgangers · {config.dataset.name} · {encoders} encoder{'s'[: encoders != 1]} × {seeds} seed{'s'[: seeds != 1]}"


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
    graph = Graph(digests)
    prepared = prepared_dataset(graph, config.dataset, cwd)
    trained = {
        (name, seed): graph.add(
            "train_contrastive",
            train_contrastive.Request(seed=seed, settings=config.training(name)),
            f"train_contrastive {name}, seed {seed}",
        ).output
        for name in config.encoders
        for seed in config.training_seeds
    }
    embedded = {
        (name, seed): _embedded(graph, config, embed.Request(clips=prepared, checkpoint=folder), f"{name}, seed {seed}")
        for (name, seed), folder in trained.items()
    }
    if "random" in config.baselines:
        sizes = next(iter(trained.values()))  # the first encoder's: a baseline must have the same network
        for seed in config.training_seeds:
            request = embed.Request(clips=prepared, encoder="random", checkpoint=sizes, settings=replace(config.embed, seed=seed))
            embedded["random", seed] = _embedded(graph, config, request, f"random, seed {seed}")
    if "mel" in config.baselines:
        embedded["mel", 0] = _embedded(graph, config, embed.Request(clips=prepared, encoder="mel"), "mel")
    runs = []
    for (name, seed), folder in embedded.items():
        for kind in config.probes:
            scores = graph.add(
                "probe", probe.Request(embeddings=folder, probe=kind, settings=config.probe), f"probe {kind} of {name}, seed {seed}"
            ).output
            runs.append(report_probes.Run(encoder=name, seed=seed, probe=kind, scores=scores, training=trained.get((name, seed), "")))
    page = report_probes.Request(
        title=title(config), runs=tuple(runs), command=command, config=to_yaml(config), settings=config.report_probes
    )
    return FlowPlan(graph, title(config), config.dataset.name, graph.add("report_probes", page).output, [prepared])


def _embedded(graph: Graph, config: Config, request: embed.Request, label: str) -> str:
    """Add one embedding of the dataset, in the run's settings where the request has none of its own."""
    settings = request.settings if request.encoder == "random" else config.embed
    return graph.add("embed", replace(request, shards=config.shards, settings=settings), f"embed {label}").output


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal."""
    return str(result["table"])
