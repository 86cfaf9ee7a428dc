"""Which stage follows which in ``syntone``. No Prefect in here: ``plan`` uses it without a server.

synthesize_grid → featurise → train_vae × method × seed → evaluate_disentanglement, plot_latents → report_disentanglement
                           └→ classify_waveform ───────────────────────────────────────────────────────┘
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import to_yaml
from core.graph import FlowPlan, Graph
from core.keys import FileDigests
from flows.paths import existing
from flows.syntone.compat import translate
from flows.syntone.config import Config
from flows.syntone.handover import finish
from tasks.classify_waveform import spec as classify_waveform
from tasks.evaluate_disentanglement import spec as evaluate_disentanglement
from tasks.featurise import spec as featurise
from tasks.plot_latents import spec as plot_latents
from tasks.report_disentanglement import spec as report_disentanglement
from tasks.synthesize_grid import spec as synthesize_grid
from tasks.train_vae import spec as train_vae

__all__ = ["CONFIG", "build_graph", "finish", "show", "title", "translate"]

CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    methods, seeds = len(config.methods), len(config.training_seeds)
    size = "" if config.source else f" · {config.synthesize_grid.clips} clips"
    return f"syntone · {config.name}{size} · {methods} method{'s'[: methods != 1]} × {seeds} seed{'s'[: seeds != 1]}"


def build_graph(config: Config, digests: FileDigests, cwd: Path, command: str) -> FlowPlan:
    """Return the run's work.

    Args:
        config: the resolved configuration.
        digests: remembers digests of outside files.
        cwd: what a relative ``source`` or ``vocoder`` refers to.
        command: what to type to get the same results; shown on the page.

    Raises:
        InvalidValueError: a file that the configuration names does not exist.
    """
    graph = Graph(digests)
    source, vocoder = (existing(getattr(config, name), name, cwd, file=True) for name in ("source", "vocoder"))
    grid = graph.add(
        "synthesize_grid", synthesize_grid.Request(settings=config.synthesize_grid, shards=config.shards, source=source)
    ).output
    features = graph.add("featurise", featurise.Request(grid=grid, settings=config.featurise, shards=config.shards)).output
    # All trainings before anything that looks at them, so that they fill every device.
    models = {
        (method, seed): _trained(graph, config, features, method, seed) for method in config.methods for seed in config.training_seeds
    }
    classifier = ""
    if config.classify:
        request = classify_waveform.Request(grid=grid, features=features, settings=config.classify_waveform)
        classifier = graph.add("classify_waveform", request).output
    shown = config.training_seeds[: config.report_disentanglement.seeds_shown]
    runs = []
    for (method, seed), model in models.items():
        pictures = ""
        if seed in shown:
            plot = plot_latents.Request(model=model, features=features, grid=grid, vocoder=vocoder, settings=config.plot_latents)
            pictures = graph.add("plot_latents", plot, f"plot_latents {method}, seed {seed}").output
        scores = _scored(graph, config, features, models, method, seed)
        runs.append(report_disentanglement.Run(method=method, seed=seed, model=model, scores=scores, pictures=pictures))
    page = report_disentanglement.Request(
        title=title(config), features=features, runs=tuple(runs), classifier=classifier, command=command, config=to_yaml(config),
        settings=config.report_disentanglement,
    )  # fmt: skip
    # The grid's clips lie in shards, not in files of their own: they leave by export_to, or in the form that synthesize_grid.form says.
    return FlowPlan(graph, title(config), config.name, graph.add("report_disentanglement", page).output, [])


def _trained(graph: Graph, config: Config, features: str, method: str, seed: int) -> str:
    request = train_vae.Request(features=features, method=method, seed=seed, settings=config.training(method))  # type: ignore[arg-type]
    return graph.add("train_vae", request, f"train_vae {method}, seed {seed}").output


def _scored(graph: Graph, config: Config, features: str, models: dict[tuple[str, int], str], method: str, seed: int) -> str:
    """Add the evaluation of one model; its method's other seeds are what UDR compares it with, and models of one size share baselines."""
    siblings = tuple(model for (other, number), model in models.items() if other == method and number != seed)
    codes = config.training(method).latent
    alone = replace(config.evaluate_disentanglement, dimensions=codes)
    baselines = graph.add(
        "evaluate_disentanglement",
        evaluate_disentanglement.Request(features=features, baseline="random", settings=alone),
        f"baselines of {codes} codes",
    ).output
    request = evaluate_disentanglement.Request(
        features=features, codes=models[method, seed], baselines=baselines, siblings=siblings, settings=config.evaluate_disentanglement
    )
    return graph.add("evaluate_disentanglement", request, f"evaluate_disentanglement {method}, seed {seed}").output


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal."""
    return str(result["table"])
