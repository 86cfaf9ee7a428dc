"""Which stage follows which in ``doppelgangers``. No Prefect in here: ``plan`` uses it without a server.

demo or CSV (→ import_dataset) → prepare ────────────┐
train_contrastive × encoder × seed ──────────────────┤   (sources, when an encoder names some → mix_clips → train_contrastive)
       baselines: random weights, mel statistics ────┴→ embed → probe × kind ─────────────────┐
synthesize, synthesize_grid (proxies, when asked) ──────→ embed → probe ──────────────────────┼→ report_probes
synthesize (each encoder's sounds) → embed → measure_sounds; train_supervised (when asked) ───┘
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
from flows.doppelgangers.config import PROXY_SEED, Config
from flows.paths import existing
from flows.source_settings import located
from flows.sources import Place, Sources, whole_train_split
from tasks.embed import spec as embed
from tasks.measure_sounds import spec as measure_sounds
from tasks.probe import spec as probe
from tasks.report_probes import spec as report_probes
from tasks.synthesize import spec as synthesize
from tasks.synthesize_grid import spec as synthesize_grid
from tasks.train_contrastive import spec as train_contrastive
from tasks.train_supervised import spec as train_supervised

__all__ = ["CONFIG", "build_graph", "show", "title", "translate"]

CONFIG = Config


def title(config: Config) -> str:
    """Return the name of the run."""
    encoders, seeds = len(config.wanted), len(config.training_seeds)
    return f"doppelgangers · {config.dataset.name} · {encoders} encoder{'s'[: encoders != 1]} × {seeds} seed{'s'[: seeds != 1]}"


def build_graph(config: Config, digests: FileDigests, cwd: Path, command: str) -> FlowPlan:
    """Return the run's work.

    Args:
        config: the resolved configuration.
        digests: remembers digests of outside files.
        cwd: what a relative dataset root, or folder of impulse responses, refers to.
        command: what to type to get the same results; shown on the page.

    Raises:
        InvalidValueError: a file or folder that the configuration names does not exist.
    """
    graph = Graph(digests)
    study = Study(graph, config, prepared_dataset(graph, config.dataset, cwd), cwd)
    runs = [*study.on_dataset(), *study.supervised()]
    factors = ""
    if "parameters" in config.proxies:
        factors = graph.add(
            "synthesize", synthesize.Request(settings=config.parameter_sounds, shards=config.shards), "synthesize for proxy parameters"
        ).output
        runs += study.asked("parameters", factors, target="unit", folds="drawn")
    if "tones" in config.proxies:
        tones = graph.add("synthesize_grid", synthesize_grid.Request(settings=config.tones, shards=config.shards)).output
        runs += study.asked("waveform", tones)
        runs += study.asked("pitch", tones, target="note")
    page = report_probes.Request(
        title=title(config), runs=tuple(runs), measures=study.measured(), factors=factors, command=command, config=to_yaml(config),
        settings=config.report_probes,
    )  # fmt: skip
    return FlowPlan(graph, title(config), config.dataset.name, graph.add("report_probes", page).output, [study.prepared])


class Study:
    """One run's encoders and what they are asked; asking twice adds nothing, since equal work is one step of the graph.

    Args:
        graph: where the steps go.
        config: of the run.
        prepared: folder of the dataset.
        cwd: what relative folders of sounds refer to.
    """

    def __init__(self, graph: Graph, config: Config, prepared: str, cwd: Path) -> None:
        self.graph, self.config, self.prepared, self.cwd = graph, config, prepared, cwd
        self._sources: Sources | None = None
        self.trained = {(name, seed): self._trained(name, seed) for name in config.wanted for seed in config.training_seeds}

    def sources(self) -> Sources:
        """Return what makes sources from the dataset's train clips."""
        if self._sources is None:
            config, gold = self.config, whole_train_split(self.graph, self.prepared)
            place = Place(self.prepared, gold, self.prepared, config.dataset.domain, self.cwd, config.shards)
            self._sources = Sources(self.graph, located(config.sources, self.cwd), place)
        return self._sources

    def _trained(self, name: str, seed: int) -> str:
        names, weights = self.config.mixture(name)
        clips = self.sources().mixed(names, weights, f"for {name}") if names else ""
        settings, folder = self.config.training(name), self.config.real_sounds(name)
        responses = existing(settings.impulse_responses, "train_contrastive.impulse_responses", self.cwd)
        pairs = ""
        if self.config.pregenerated_pairs and not (folder or clips):
            made = synthesize.Request(settings=self.config.sounds(name, self.config.pregenerated_pairs, seed), shards=self.config.shards)
            pairs = self.graph.add("synthesize", made, f"synthesize pairs of {name}, seed {seed}").output
        request = train_contrastive.Request(
            seed=seed, clips=clips, folder=existing(folder, f"encoders.{name}.folder", self.cwd), pairs=pairs,
            settings=replace(settings, impulse_responses=responses),
        )  # fmt: skip
        return self.graph.add("train_contrastive", request, f"train_contrastive {name}, seed {seed}").output

    def embeddings(self, clips: str, of: str) -> dict[tuple[str, int], str]:
        """Return the folders of some clips' embeddings by every encoder and baseline and its seed.

        Args:
            clips: folder of the clips.
            of: what they are, for the steps' names; empty: the dataset.
        """
        config = self.config
        found = {
            (name, seed): self.embedded(embed.Request(clips=clips, checkpoint=folder), f"{of}{name}, seed {seed}")
            for (name, seed), folder in self.trained.items()
        }
        if "random" in config.baselines:
            sizes = next(iter(self.trained.values()))  # the first encoder's: a baseline must have the same network
            for seed in config.training_seeds:
                request = embed.Request(clips=clips, encoder="random", checkpoint=sizes, settings=replace(config.embed, seed=seed))
                found["random", seed] = self.embedded(request, f"{of}random, seed {seed}")
        if "mel" in config.baselines:
            found["mel", 0] = self.embedded(embed.Request(clips=clips, encoder="mel"), f"{of}mel")
        return found

    def embedded(self, request: embed.Request, label: str) -> str:
        """Add one embedding, in the run's settings where the request has none of its own."""
        settings = request.settings if request.encoder == "random" else self.config.embed
        return self.graph.add("embed", replace(request, shards=self.config.shards, settings=settings), f"embed {label}").output

    def probed(self, request: probe.Request, label: str) -> str:
        """Add one probe."""
        return self.graph.add("probe", request, f"probe {label}").output

    def on_dataset(self) -> list[report_probes.Run]:
        """Return every probe of every encoder on the dataset."""
        found = []
        for (name, seed), folder in self.embeddings(self.prepared, "").items():
            for kind in self.config.judges:
                request = probe.Request(embeddings=folder, probe=kind, settings=self.config.dataset_probe)
                scores, training = self.probed(request, f"{kind} of {name}, seed {seed}"), self.trained.get((name, seed), "")
                found.append(report_probes.Run(encoder=name, seed=seed, probe=kind, scores=scores, training=training))
        return found

    def asked(self, name: str, clips: str, **settings: Any) -> list[report_probes.Run]:
        """Return the linear probes of a proxy task on some clips, by every encoder."""
        own = replace(self.config.probe, label_separator="", metric="", **{"target": "label", "folds": "auto", **settings})
        found = []
        for (encoder, seed), folder in self.embeddings(clips, f"{name} sounds by ").items():
            scores = self.probed(probe.Request(embeddings=folder, settings=own), f"{name} of {encoder}, seed {seed}")
            training = self.trained.get((encoder, seed), "")
            found.append(report_probes.Run(encoder=encoder, seed=seed, probe=name, scores=scores, training=training))
        return found

    def supervised(self) -> list[report_probes.Run]:
        """Return the supervised baseline's scores, which stand beside every probe on the same folds."""
        if "supervised" not in self.config.baselines:
            return []
        found, clips, settings = [], self.prepared, self.config.supervised
        if names := self.config.supervised_on:
            clips, settings = self.sources().mixed(names, {}, "for supervised", held_out=True), replace(settings, folds="split")
        for seed in self.config.training_seeds:
            request = train_supervised.Request(clips=clips, seed=seed, settings=settings)
            scores = self.graph.add("train_supervised", request, f"train_supervised, seed {seed}").output
            found += [report_probes.Run(encoder="supervised", seed=seed, probe=kind, scores=scores) for kind in self.config.judges]
        return found

    def measured(self) -> str:
        """Return the folder of the measures of each encoder's sounds, in mel statistics and in the first encoder; empty: not wanted."""
        config = self.config
        names = [name for name in config.wanted if not (config.real_sounds(name) or config.mixture(name)[0])]
        if not config.measured_pairs or not names:
            return ""
        sets = []
        for name in names:
            sounds = synthesize.Request(settings=config.sounds(name, config.measured_pairs, PROXY_SEED), shards=config.shards)
            sets.append(measure_sounds.SoundSet(name, self.graph.add("synthesize", sounds, f"synthesize sounds of {name}").output))
        first, folder = next(iter(self.trained.items()))
        spaces = []
        for space, kind in (("mel", embed.Request(clips="", encoder="mel")), (first[0], embed.Request(clips="", checkpoint=folder))):
            label = space if space == "mel" else f"{space}, seed {first[1]}"
            real = self.embedded(replace(kind, clips=self.prepared), label)
            made = tuple(self.embedded(replace(kind, clips=one.clips), f"sounds of {one.name} by {label}") for one in sets)
            spaces.append(measure_sounds.Space(space, real, made))
        request = measure_sounds.Request(real=self.prepared, sets=tuple(sets), spaces=tuple(spaces), settings=config.measure_sounds)
        return self.graph.add("measure_sounds", request).output


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal."""
    return str(result["table"])
