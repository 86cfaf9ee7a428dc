"""Which stage follows which in ``synth_proxy``. No Prefect in here: ``plan`` uses it without a server.

probe_synth (draft of the spec, where none comes with the project) → render_presets × (train, val, test, made by hand)
   → (hear_presets of each, with clap_checkpoint)
   → (search_preset_encoder →) train_preset_encoder × encoder × seed → evaluate_preset_encoder → play_presets ─┐
rank_audio_models (→ rank_clap) (when asked) ───────────────────────────────────────────────────────────────────┼→ report_presets
train_sound_matcher → match_sound (when asked) ─────────────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from core.config import to_yaml
from core.graph import FlowPlan, Graph
from core.keys import FileDigests
from flows.paths import existing
from flows.synth_proxy.config import Config, Drawing
from tasks.evaluate_preset_encoder import spec as evaluate_preset_encoder
from tasks.hear_presets import spec as hear_presets
from tasks.match_sound import spec as match_sound
from tasks.play_presets import spec as play_presets
from tasks.probe_synth import spec as probe_synth
from tasks.rank_audio_models import spec as rank_audio_models
from tasks.rank_clap import spec as rank_clap
from tasks.render_presets import spec as render_presets
from tasks.report_presets import spec as report_presets
from tasks.search_preset_encoder import spec as search_preset_encoder
from tasks.train_preset_encoder import spec as train_preset_encoder
from tasks.train_sound_matcher import spec as train_sound_matcher

__all__ = ["CONFIG", "build_graph", "show", "title"]

CONFIG = Config
USUAL_RATE_HZ, CLAP_RATE_HZ = 32_000, 48_000
"""What sounds are rendered at unless told: with CLAP at the rate of the published one."""


def title(config: Config) -> str:
    """Return the name of the run."""
    encoders, seeds = len(config.trained), len(config.training_seeds)
    size = f"{config.train.n:,} presets"
    return f"synth_proxy · {config.synth.title} · {size} · {encoders} encoder{'s'[: encoders != 1]} × {seeds} seed{'s'[: seeds != 1]}"


def build_graph(config: Config, digests: FileDigests, cwd: Path, command: str) -> FlowPlan:
    """Return the run's work.

    Args:
        config: the resolved configuration.
        digests: remembers digests of outside files.
        cwd: what relative paths refer to: where run.sh was called.
        command: what to type to get the same results; shown on the page.

    Raises:
        InvalidValueError: a file or folder that the configuration names does not exist.
    """
    as_given = to_yaml(config)  # what the page shows holds no path of this machine
    config = with_absolute_paths(config, cwd)
    graph = Graph(digests)
    study = Study(graph, config)
    trained = [(name, seed, *study.trained(name, seed)) for name in config.trained for seed in config.training_seeds]
    runs = tuple(
        report_presets.Run(encoder=name, seed=seed, scores=study.evaluated(folder, f"{name}, seed {seed}"), training=folder, search=search)
        for name, seed, folder, search in trained
    )
    sets = [("train", study.train), ("validation", study.val), ("test", study.test)]
    sets += [("hand-crafted", study.by_hand)] if study.by_hand else []
    page = report_presets.Request(
        title=title(config), runs=runs, sets=tuple(report_presets.SetFolder(*one) for one in sets), probe=study.probe,
        played=study.played(runs[0].scores), ranking=study.ranked(), matches=study.matched(runs[0].training), command=command,
        config=as_given, settings=config.report_presets,
    )  # fmt: skip
    return FlowPlan(graph, title(config), config.synth.title, graph.add("report_presets", page).output, [])


class Study:
    """One run's preset sets, encoders and what they are asked.

    Args:
        graph: where the steps go.
        config: of the run, with absolute paths.
    """

    def __init__(self, graph: Graph, config: Config) -> None:
        self.graph, self.config = graph, to_be_heard(config)
        self.probe = self._probed()
        self.rendering = self._rendering()
        self.train = self.drawn("train", config.train)
        self.val, self.test = self.drawn("val", config.val), self.drawn("test", config.test)
        self.by_hand = self._by_hand() if config.hand_crafted else ""

    def _probed(self) -> str:
        synth, rendering = self.config.synth, self.config.render_presets
        request = probe_synth.Request(
            backend=synth.player, plugin=synth.plugin, uri=synth.uri, plugin_name=synth.plugin_name, name=synth.title,
            exclude=synth.exclude, ignored=synth.ignored, probes=self.config.probes, duration_s=rendering.duration_s,
            sample_rate_hz=rendering.sample_rate_hz or USUAL_RATE_HZ, pitch=rendering.notes[0], velocity=rendering.velocities[0],
            hold_s=rendering.hold_s, initialization_timeout_s=synth.initialization_timeout_s, fresh=synth.fresh,
            timeout_s=rendering.timeout_s,
        )  # fmt: skip
        return self.graph.add("probe_synth", request, f"probe_synth {synth.title}").output

    def _rendering(self) -> render_presets.Settings:
        synth = self.config.synth
        return replace(
            self.config.render_presets, synth=synth.known or render_presets.Settings().synth,
            spec=synth.spec or (self.probe if synth.drafted else ""), backend=synth.player, plugin=synth.plugin, uri=synth.uri,
            plugin_name=synth.plugin_name, initialization_timeout_s=synth.initialization_timeout_s, fresh=synth.fresh,
        )  # fmt: skip

    def drawn(self, split: Literal["train", "val", "test"], drawing: Drawing, label: str = "", **settings: Any) -> str:
        """Return the folder of a set of drawn presets."""
        own = replace(self.rendering, n=drawing.n, seed=drawing.seed, split=split, **settings)
        return self._rendered(own, f"render_presets {label or split}")

    def _by_hand(self) -> str:
        return self._rendered(replace(self.rendering, presets=self.config.hand_crafted), "render_presets hand-crafted")

    def _rendered(self, settings: render_presets.Settings, label: str) -> str:
        request = render_presets.Request(settings=settings, shards=self.config.shards, workers=self.config.workers)
        rendered = self.graph.add("render_presets", request, label).output
        if not self.config.clap_checkpoint:
            return rendered
        asked = hear_presets.Request(
            presets=rendered, checkpoint=self.config.clap_checkpoint, shards=self.config.shards, settings=self.config.hear_presets
        )
        return self.graph.add("hear_presets", asked, label.replace("render_presets", "hear_presets")).output

    def trained(self, name: str, seed: int) -> tuple[str, str]:
        """Return the folder of a training, and that of the search before it; empty: there was none."""
        model, settings = self.config.model(name), self.config.training(name)
        search = self._searched(name) if self.config.search else ""
        request = train_preset_encoder.Request(train=self.train, val=self.val, model=model, seed=seed, settings=settings, search=search)
        return self.graph.add("train_preset_encoder", request, f"train_preset_encoder {name}, seed {seed}").output, search

    def _searched(self, name: str) -> str:
        """Search once for all seeds of an encoder."""
        request = search_preset_encoder.Request(
            train=self.train, val=self.val, model=self.config.model(name), seed=self.config.training_seeds[0],
            settings=self.config.search_preset_encoder,
        )  # fmt: skip
        return self.graph.add("search_preset_encoder", request, f"search_preset_encoder {name}").output

    def evaluated(self, model: str, label: str) -> str:
        """Return the folder of an encoder's scores."""
        request = evaluate_preset_encoder.Request(
            model=model, sampled=self.test, val=self.val, hand_crafted=self.by_hand, sounds=self.config.sounds,
            audio_weights=self.config.render_presets.audio_weights if self.config.sounds else "",
            settings=self.config.evaluate_preset_encoder,
        )  # fmt: skip
        return self.graph.add("evaluate_preset_encoder", request, f"evaluate_preset_encoder {label}").output

    def played(self, evaluation: str) -> str:
        """Return the folder of the sounds that an evaluation lists; empty: it lists none."""
        config = self.config
        if not (config.play_presets.sounds and (config.evaluate_preset_encoder.nearest_sounds or config.sounds)):
            return ""
        request = play_presets.Request(
            evaluation=evaluation, sampled=self.test, hand_crafted=self.by_hand, sounds=config.sounds, plugin=config.synth.plugin,
            uri=config.synth.uri, settings=config.play_presets,
        )  # fmt: skip
        return self.graph.add("play_presets", request).output

    def ranked(self) -> str:
        """Return the folder of the ranking of audio models; empty: not asked for."""
        if not self.config.rank:
            return ""
        synth = self.config.synth
        settings = replace(self.config.rank_audio_models, synth=synth.known or "dexed", plugin=synth.plugin, uri=synth.uri)
        request = rank_audio_models.Request(settings=settings, shards=self.config.shards, workers=self.config.workers)
        ranking = self.graph.add("rank_audio_models", request).output
        if not self.config.clap_checkpoint:
            return ranking
        asked = rank_clap.Request(
            ranking=ranking, checkpoint=self.config.clap_checkpoint, shards=self.config.shards, settings=self.config.rank_clap
        )
        return self.graph.add("rank_clap", asked).output

    def matched(self, proxy: str) -> tuple[report_presets.Match, ...]:
        """Return the studies of sound matching, with an encoder as proxy; none: not asked for."""
        config = self.config
        if not config.match:
            return ()
        few = Drawing(config.match_presets, config.train.seed)
        train = self.drawn("train", few, "train with sounds", audio_clips=-1, mel_clips=-1)
        test = self.drawn("test", config.test, "test with sounds", audio_clips=-1)
        found = []
        for schedule in config.match_schedules:
            request = train_sound_matcher.Request(
                train=train, seed=config.training_seeds[0], proxy=proxy, plugin=config.synth.plugin, uri=config.synth.uri,
                settings=replace(config.train_sound_matcher, schedule=schedule), workers=config.workers,
            )  # fmt: skip
            matcher = self.graph.add("train_sound_matcher", request, f"train_sound_matcher {schedule}").output
            asked = match_sound.Request(
                matcher=matcher, presets=test, plugin=config.synth.plugin, uri=config.synth.uri, settings=config.match_sound,
                workers=config.workers,
            )  # fmt: skip
            scores = self.graph.add("match_sound", asked, f"match_sound {schedule}").output
            found.append(report_presets.Match(name=schedule, scores=scores, training=matcher))
        return tuple(found)


def to_be_heard(config: Config) -> Config:
    """Return the settings of a run whose sounds CLAP hears later: all are kept, none is heard where it is rendered."""
    if not config.clap_checkpoint:
        return config
    rendering, ranking = config.render_presets, config.rank_audio_models
    rate_hz = rendering.sample_rate_hz or CLAP_RATE_HZ
    return replace(
        config, render_presets=replace(rendering, audio_model="", audio_clips=-1, sample_rate_hz=rate_hz),
        rank_audio_models=replace(ranking, keep_sounds=True, least_rate_hz=max(ranking.least_rate_hz, rate_hz)),
    )  # fmt: skip


def with_absolute_paths(config: Config, cwd: Path) -> Config:
    """Let the files that a person names be relative to where run.sh was called."""

    def absolute(text: str, where: str, file: bool = False) -> str:
        return existing(text, where, cwd, file=file)

    synth, rendering, ranking = config.synth, config.render_presets, config.rank_audio_models
    models = tuple(replace(one, weights=absolute(one.weights, "rank_audio_models.models.weights")) for one in ranking.models)
    return replace(
        config, hand_crafted=absolute(config.hand_crafted, "hand_crafted"), sounds=absolute(config.sounds, "sounds"),
        clap_checkpoint=absolute(config.clap_checkpoint, "clap_checkpoint"),
        synth=replace(synth, spec=absolute(synth.spec, "synth.spec", file=True), plugin=absolute(synth.plugin, "synth.plugin")),
        render_presets=replace(rendering, audio_weights=absolute(rendering.audio_weights, "render_presets.audio_weights")),
        rank_audio_models=replace(
            ranking, models=models, attributes=absolute(ranking.attributes, "rank_audio_models.attributes", file=True)
        ),
    )  # fmt: skip


def show(result: dict[str, Any]) -> str:
    """Return the report's result as the score table for the terminal."""
    return str(result["table"])
