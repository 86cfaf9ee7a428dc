"""Which stage follows which in ``synthio``. No Prefect in here: ``plan`` uses it without a server.

demo or CSV → prepare → for each size and draw: stratify → caption → text-to-audio model → generate ⇄ clap_filter, revise_captions
                                                  └───── gold clips and sources of every arm ─────→ train_ast × arm × seed → report
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import to_yaml
from core.graph import FlowPlan, Graph
from core.keys import FileDigests, is_hub_name
from flows.datasets import prepared_dataset
from flows.paths import existing
from flows.synthio.compat import translate
from flows.synthio.config import GOLD, Config
from flows.synthio.draw import Draw, Rounds
from flows.synthio.handover import finish
from tasks.report import spec as report
from tasks.train_ast import spec as train_ast

__all__ = ["CONFIG", "build_graph", "finish", "show", "title", "translate"]

CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    sizes, draws = (", ".join(map(str, values)) for values in (config.sizes, config.draws))
    turned = " · folds turned" if config.turn_folds else ""
    return f"synthio · {config.dataset.name} · n={sizes} · {'draws' if len(config.draws) > 1 else 'seed'} {draws}{turned}"


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
    prepared = {seed: prepared_dataset(graph, config.dataset_of(seed), cwd) for seed in config.draws}
    lengths = prepared[config.draws[0]]  # the clips are the same in every draw, so one base model serves all
    draws = [Draw(graph, config, prepared[seed], size, seed, lengths) for size in config.sizes for seed in config.draws]
    # Each draw's sources first, then all trainings: a source that several arms share is made once, and trainings fill every device.
    sources = {draw: {name: draw.source(name) for name in _used(config)} for draw in draws}
    arms = [
        _training(graph, config, draw, sources[draw], arm, seed) for draw in draws for arm in config.arms for seed in config.training_seeds
    ]
    page = graph.add("report", _report(config, draws, sources, arms, command, as_given))
    first = draws[0]
    exports = [first.prepared, first.gold, *(folder for rounds in sources[first].values() for folder in rounds.accepted)]
    return FlowPlan(graph, title(config), config.dataset.name, page.output, exports)


def _used(config: Config) -> list[str]:
    """Return the sources beside gold that some arm names, in the order of their first use."""
    return list(dict.fromkeys(name for arm in config.arms for name in arm.sources if name != GOLD))


def _training(graph: Graph, config: Config, draw: Draw, sources: dict[str, Rounds], arm: Any, seed: int) -> report.ArmRun:
    """Add one training of one arm on one draw."""
    folders = [folder for name in arm.sources for folder in ((draw.gold,) if name == GOLD else sources[name].accepted)]
    request = train_ast.Request(
        train=tuple(folders), gold=draw.gold, evaluation=draw.prepared, arm=arm.name, seed=seed, settings=config.classifier(arm)
    )
    step = graph.add("train_ast", request, f"train_ast {arm.name}{draw.suffix}, seed {seed}")
    return report.ArmRun(arm=arm.name, seed=seed, path=step.output, num_samples=draw.num_samples, draw=draw.seed)


def _report(
    config: Config, draws: list[Draw], sources: dict[Draw, dict[str, Rounds]], arms: list[report.ArmRun], command: str, text: str
) -> report.Request:
    """Return the page's request: every training, every draw's gold clips and sources, and the measures of each size's first draw."""
    measured = [draw for draw in draws if draw.seed == config.draws[0]] if config.measures else []
    measures = [
        report.Measured(source=name, num_samples=draw.num_samples, draw=draw.seed, path=draw.measured(name, rounds))
        for draw in measured
        for name, rounds in sources[draw].items()
    ]
    return report.Request(
        title=title(config), prepare=draws[0].prepared, arms=tuple(arms), measures=tuple(measures), command=command, config=text,
        gold=tuple(report.GoldRun(num_samples=draw.num_samples, draw=draw.seed, path=draw.gold) for draw in draws),
        synthetic=tuple(
            report.SourceRun(
                source=name, num_samples=draw.num_samples, draw=draw.seed, generated=rounds.generated, filtered=rounds.accepted
            )
            for draw in draws
            for name, rounds in sources[draw].items()
        ),
        settings=config.report,
    )  # fmt: skip


def _with_absolute_paths(config: Config, cwd: Path) -> Config:
    """Let the files that a person names be relative to where run.sh was called."""

    def absolute(text: str, where: str) -> str:
        return existing(text, where, cwd)

    def model(text: str, where: str) -> str:
        return text if is_hub_name(text, cwd) else absolute(text, where)

    return replace(
        config,
        clap_checkpoint=absolute(config.clap_checkpoint, "clap_checkpoint"),
        encoder=absolute(config.encoder, "encoder"),
        train_text_to_audio=_pretrained(config.train_text_to_audio, "train_text_to_audio", model),
        train_clap=replace(config.train_clap, start_from=absolute(config.train_clap.start_from, "train_clap.start_from")),
        train_ast=_pretrained(config.train_ast, "train_ast", absolute),
        describe=config.describe and _pretrained(config.describe, "describe", absolute),
        presets={
            name: replace(presets, render_presets=_preset_files(presets.render_presets, f"presets.{name}.render_presets", absolute))
            for name, presets in config.presets.items()
        },
        retrievals={
            name: replace(retrieval, root=absolute(retrieval.root, f"retrievals.{name}.root"), csv=_csv(retrieval.root, retrieval.csv, cwd))
            for name, retrieval in config.retrievals.items()
        },
    )


def _pretrained(settings: Any, where: str, absolute: Callable[[str, str], str]) -> Any:
    return replace(settings, pretrained=absolute(settings.pretrained, f"{where}.pretrained"))


def _preset_files(settings: Any, where: str, absolute: Callable[[str, str], str]) -> Any:
    named = ("spec", "plugin", "presets", "audio_weights")
    return replace(settings, **{name: absolute(getattr(settings, name), f"{where}.{name}") for name in named})


def _csv(root: str, csv: str, cwd: Path) -> str:
    return str((cwd / Path(root).expanduser()).resolve() / csv) if root else ""


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal."""
    return str(result["table"])
