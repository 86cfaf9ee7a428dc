"""Which stage follows which in ``delsa``. No Prefect in here: ``plan`` uses it without a server.

demo, CSV, or captioned clips → prepare, prepare_sources ──┬──────────────────────────────┐
simulate_rooms, or import_rirs ──┬─────────────────────────┼→ train_spatial × model × seed ┴→ evaluate_spatial ─┐
                                 ├→ plot_rooms ────────────┼────────────────────────────────────────────────────┼→ report_spatial
                                 └→ caption_scenes ────────┴→ spatialise (scenes to listen to) ─────────────────┘
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.config import to_yaml
from core.graph import FlowPlan, Graph
from core.keys import FileDigests, is_hub_name
from flows.datasets import prepared_dataset
from flows.delsa.config import STARTS, Captioned, Config
from flows.paths import existing
from flows.source_settings import located
from flows.sources import Place, Sources, whole_train_split
from tasks.caption_scenes import spec as caption_scenes
from tasks.evaluate_spatial import spec as evaluate_spatial
from tasks.import_rirs import spec as import_rirs
from tasks.plot_rooms import spec as plot_rooms
from tasks.prepare_sources import spec as prepare_sources
from tasks.report_spatial import spec as report_spatial
from tasks.simulate_rooms import spec as simulate_rooms
from tasks.spatialise import spec as spatialise
from tasks.train_spatial import spec as train_spatial

__all__ = ["CONFIG", "build_graph", "show", "title"]

CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    models, seeds = len(config.models), len(config.training_seeds)
    clips = Path(config.captioned.root).name if config.captioned.root else config.dataset.name
    return f"delsa · {clips} · {models} model{'s'[: models != 1]} × {seeds} seed{'s'[: seeds != 1]}"


def build_graph(config: Config, digests: FileDigests, cwd: Path, command: str) -> FlowPlan:
    """Return the run's work.

    Args:
        config: the resolved configuration.
        digests: remembers digests of outside files.
        cwd: what relative files and folders refer to.
        command: what to type to get the same results; shown on the page.

    Raises:
        InvalidValueError: a file or folder that the configuration names does not exist.
    """
    graph = Graph(digests)
    clips = _captioned(graph, config.captioned, cwd) if config.captioned.root else prepared_dataset(graph, config.dataset, cwd)
    rooms = _rooms(graph, config, cwd)
    pictures = graph.add("plot_rooms", plot_rooms.Request(rooms, config.shown_responses)).output
    scenes = _scenes(graph, config, clips, rooms, cwd) if config.scenes else ""
    trained = {
        (name, seed): _trained(graph, config, name, seed, clips, rooms, cwd) for name in config.models for seed in config.training_seeds
    }
    runs, recordings = [], existing(config.recordings, "recordings", cwd)
    for (name, seed), folder in trained.items():
        request = evaluate_spatial.Request(
            model=folder, clips=clips, catalogue=rooms, recordings=recordings, settings=config.evaluate_spatial
        )  # fmt: skip
        scores = graph.add("evaluate_spatial", request, f"evaluate_spatial {name}, seed {seed}").output
        runs.append(report_spatial.Run(model=name, seed=seed, scores=scores, training=folder))
    page = report_spatial.Request(
        title=title(config), runs=tuple(runs), catalogue=rooms, config=to_yaml(config), command=command, settings=config.report_spatial,
        pictures=pictures, scenes=scenes,
    )  # fmt: skip
    name = Path(config.captioned.root).name if config.captioned.root else config.dataset.name
    return FlowPlan(graph, title(config), name, graph.add("report_spatial", page).output, [clips])


def _captioned(graph: Graph, captioned: Captioned, cwd: Path) -> str:
    """Add the captioned clips; return their folder."""
    tables = {
        name: existing(getattr(captioned, name), f"captioned.{name}", cwd, file=True) for name in ("csv", "val_csv", "test_csv")
    }  # fmt: skip
    request = prepare_sources.Request(
        root=existing(captioned.root, "captioned.root", cwd), settings=captioned.prepare_sources, **tables
    )  # fmt: skip
    return graph.add("prepare_sources", request).output


def _rooms(graph: Graph, config: Config, cwd: Path) -> str:
    """Add the rooms; return their catalogue's folder."""
    if config.responses:
        taken = import_rirs.Request(source=existing(config.responses, "responses", cwd), settings=config.import_rirs)
        return graph.add("import_rirs", taken).output
    made = simulate_rooms.Request(
        settings=config.simulate_rooms, geometry=existing(config.geometry, "geometry", cwd, file=True), shards=config.shards
    )  # fmt: skip
    return graph.add("simulate_rooms", made).output


def _scenes(graph: Graph, config: Config, clips: str, rooms: str, cwd: Path) -> str:
    """Add a fixed set of held-out scenes with their captions; return the folder of their index."""
    captions = caption_scenes.Request(
        clips=clips, catalogue=rooms, settings=config.caption_scenes, sources=existing(config.grid_sources, "grid_sources", cwd, file=True),
        spaces=existing(config.grid_spaces, "grid_spaces", cwd, file=True),
    )  # fmt: skip
    captioned = graph.add("caption_scenes", captions).output
    request = spatialise.Request(clips=clips, catalogue=rooms, scenes=captioned, shards=config.shards, settings=config.spatialise)
    return graph.add("spatialise", request).output


def _trained(graph: Graph, config: Config, name: str, seed: int, clips: str, rooms: str, cwd: Path) -> str:
    """Add one training, and the one of its spatial branch where that comes first; return its folder."""
    clips = _mixed(graph, config, name, clips, cwd)
    starts = {part: _start(config.start(name, part), f"models.{name}.{part}", cwd) for part in STARTS}
    if config.pretrain_branch:
        first = train_spatial.Request(clips=clips, catalogue=rooms, seed=seed, settings=config.branch_training())
        starts["branch"] = graph.add("train_spatial", first, f"train_spatial attributes, seed {seed}").output
    request = train_spatial.Request(clips=clips, catalogue=rooms, seed=seed, settings=config.training(name), **starts)
    return graph.add("train_spatial", request, f"train_spatial {name}, seed {seed}").output


def _mixed(graph: Graph, config: Config, name: str, clips: str, cwd: Path) -> str:
    """Return the folder of a model's dry clips: the dataset, or a mixture of sources with the dataset's held-out clips beside it."""
    names, weights = config.mixture(name)
    if not names:
        return clips
    place = Place(clips, whole_train_split(graph, clips), clips, config.dataset.domain, cwd, config.shards)
    return Sources(graph, located(config.sources, cwd), place).mixed(names, weights, f"for {name}", held_out=True)


def _start(text: str, where: str, cwd: Path) -> str:
    """Return the absolute path of weights, or the name of a model on the hub as it stands."""
    return text if is_hub_name(text, cwd) else existing(text, where, cwd)


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal."""
    return str(result["table"])
