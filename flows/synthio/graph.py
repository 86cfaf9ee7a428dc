"""Which stage follows which in ``synthio``. No Prefect in here: ``plan`` uses it without a server.

demo or CSV → prepare → for each size and draw: stratify → caption → text-to-audio model → generate ⇄ clap_filter, revise_captions
                                                  └───── gold clips and sources of every arm ─────→ train_ast × arm × seed → report
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import to_yaml
from core.contract import to_dict
from core.graph import FlowPlan, Graph
from core.keys import FileDigests
from flows.datasets import prepared_dataset
from flows.paths import existing
from flows.source_settings import GOLD, located, pretrained
from flows.sources import Rounds
from flows.synthio.compat import translate
from flows.synthio.config import Arm, Config
from flows.synthio.draw import Draw
from flows.synthio.handover import finish
from tasks.report import spec as report
from tasks.search_mixture import spec as search_mixture
from tasks.train_ast import spec as train_ast

__all__ = ["CONFIG", "build_graph", "finish", "show", "title", "translate"]

CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    sizes, draws = (", ".join(map(str, values)) for values in (config.sizes, config.draws))
    turned = " · folds turned" if config.turn_folds else " · held-out folds turned" if config.turn_held_out else ""
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
    draws = [Draw(graph, config, prepared[seed], size, seed, lengths, cwd) for size in config.sizes for seed in config.draws]
    # Each draw's sources first, then all trainings: a source that several arms share is made once, and trainings fill every device.
    sources = {draw: {name: draw.source(name) for name in _used(config)} for draw in draws}
    choices = {(draw, arm.name): _searched(graph, config, draw, sources[draw], arm) for draw in draws for arm in config.arms}
    arms = [
        _training(graph, config, draw, sources[draw], arm, seed, choices[draw, arm.name])
        for draw in draws
        for arm in config.arms
        for seed in config.training_seeds
    ]
    page = graph.add("report", _report(config, draws, sources, arms, choices, command, as_given))
    first = draws[0]
    exports = [first.prepared, first.gold, *(folder for rounds in sources[first].values() for folder in rounds.accepted)]
    return FlowPlan(graph, title(config), config.dataset.name, page.output, exports)


def _used(config: Config) -> list[str]:
    """Return the sources beside gold that some arm names, in the order of their first use."""
    return list(dict.fromkeys(name for arm in config.arms for name in arm.sources if name != GOLD))


def _parts(draw: Draw, sources: dict[str, Rounds], arm: Arm) -> dict[str, dict[str, Any]]:
    """Return what an arm's stages are told of its sources beside gold, by name."""
    return {
        name: {"folders": sources[name].accepted, "weight": arm.weights.get(name), "filtered": draw.filtered(name)}
        for name in arm.sources
        if name != GOLD
    }


def _folders(draw: Draw, sources: dict[str, Rounds], arm: Arm) -> tuple[str, ...]:
    return tuple(folder for name in arm.sources for folder in ((draw.gold,) if name == GOLD else sources[name].accepted))


def _searched(graph: Graph, config: Config, draw: Draw, sources: dict[str, Rounds], arm: Arm) -> str:
    """Add the waves of an arm's search on one draw; return the folder of the last, empty when the arm is not tuned."""
    found, tune = "", arm.tune
    if tune is None:
        return ""
    own = to_dict(config.classifier(arm))
    pretrained_folder = own.pop("pretrained")
    own.pop("num_devices")  # trials run side by side instead
    parts = tuple(search_mixture.Source(name, **values) for name, values in _parts(draw, sources, arm).items())
    for first, count in tune.waves:
        request = search_mixture.Request(
            train=_folders(draw, sources, arm), evaluation=draw.prepared, gold=draw.gold, arm=arm.name, sources=parts, classifier=own,
            pretrained=pretrained_folder, first=first, shards=count, previous=found,
            settings=replace(tune, trials=max(2, first + count)),  # a wave's key hangs on no later wave: more trials add waves
        )  # fmt: skip
        label = f"search_mixture {arm.name}{draw.suffix}, trials {first}–{first + count - 1}"
        found = graph.add("search_mixture", request, label).output
    return found


def _training(
    graph: Graph, config: Config, draw: Draw, sources: dict[str, Rounds], arm: Arm, seed: int, choice: str
) -> report.ArmRun:  # fmt: skip
    """Add one training of one arm on one draw."""
    request = train_ast.Request(
        train=_folders(draw, sources, arm), gold=draw.gold, evaluation=draw.prepared, arm=arm.name, seed=seed,
        settings=config.classifier(arm), choice=choice,
        sources=tuple(train_ast.Source(name, **values) for name, values in _parts(draw, sources, arm).items()),
    )  # fmt: skip
    step = graph.add("train_ast", request, f"train_ast {arm.name}{draw.suffix}, seed {seed}")
    return report.ArmRun(arm=arm.name, seed=seed, path=step.output, num_samples=draw.num_samples, draw=draw.seed)


def _report(
    config: Config, draws: list[Draw], sources: dict[Draw, dict[str, Rounds]], arms: list[report.ArmRun],
    choices: dict[tuple[Draw, str], str], command: str, text: str,
) -> report.Request:  # fmt: skip
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
        searches=tuple(
            report.Searched(arm=arm, num_samples=draw.num_samples, draw=draw.seed, path=path)
            for (draw, arm), path in choices.items()
            if path
        ),
        settings=config.report,
    )  # fmt: skip


def _with_absolute_paths(config: Config, cwd: Path) -> Config:
    """Let the files that a person names be relative to where run.sh was called."""

    def absolute(text: str, where: str) -> str:
        return existing(text, where, cwd)

    made: Config = located(config, cwd)
    return replace(made, train_ast=pretrained(made.train_ast, "train_ast", absolute))


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal."""
    return str(result["table"])
