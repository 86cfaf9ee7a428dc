"""Makes a source of clips from its name: the steps from a prepared dataset's gold clips, each when something asks for it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from core.graph import Graph
from flows.datasets import Dataset, prepared_dataset
from flows.source_settings import BASE, GOLD, SOUNDS, Generator, Model, Retrieval, SourceSettings
from tasks.align_text_to_audio import spec as align_text_to_audio
from tasks.augment import spec as augment
from tasks.caption import spec as caption
from tasks.clap_filter import spec as clap_filter
from tasks.describe import spec as describe
from tasks.generate import spec as generate
from tasks.make_pairs import spec as make_pairs
from tasks.mix_clips import spec as mix_clips
from tasks.prepare import spec as prepare
from tasks.preset_clips import spec as preset_clips
from tasks.render_presets import spec as render_presets
from tasks.retrieve import spec as retrieve
from tasks.revise_captions import spec as revise_captions
from tasks.simulate_rooms import spec as simulate_rooms
from tasks.spatialise import spec as spatialise
from tasks.synthesize import spec as synthesize
from tasks.synthesize_captioned import spec as synthesize_captioned
from tasks.train_clap import spec as train_clap
from tasks.train_text_to_audio import spec as train_text_to_audio


@dataclass(frozen=True)
class Rounds:
    """A source of clips: its folders, one for each round of self-reflection."""

    generated: tuple[str, ...]
    """Before the filter; for sources that are not generated the same as after it."""
    accepted: tuple[str, ...]
    """After the filter: what is trained on."""
    lineage: tuple[str, ...] = ()
    """Further folders that took part, for the leakage proof."""


@dataclass(frozen=True)
class Place:
    """Where sources are made."""

    prepared: str
    """Folder of the prepared dataset; its validation and test clips are kept out of everything."""
    gold: str
    """Folder of the gold clips, train clips only."""
    lengths: str
    """Folder of a prepared dataset whose clips are as long as the base model's are to be."""
    domain: str
    """What kind of sounds these are, in words."""
    cwd: Path
    """What a pool's root refers to."""
    shards: int
    """Parts that each source is cut into."""
    suffix: str = ""
    """Behind the labels of what belongs to these gold clips alone."""


def whole_train_split(graph: Graph, prepared: str) -> str:
    """Return a folder with all train clips of a dataset: the gold clips of a flow that draws none."""
    request = mix_clips.Request(sources=(mix_clips.Source(GOLD, (prepared,)),))
    return graph.add("mix_clips", request, "mix_clips gold").output


class Sources:
    """Sources of clips around one set of gold clips. Asking twice adds nothing, since equal work is one step of the graph.

    Args:
        graph: where the steps go.
        settings: how sources are made, with absolute paths.
        place: where.
    """

    def __init__(self, graph: Graph, settings: SourceSettings, place: Place) -> None:
        self.graph, self.settings, self.prepared, self.gold, self.lengths = graph, settings, place.prepared, place.gold, place.lengths
        self.domain, self.cwd, self.shards, self.suffix = place.domain, place.cwd, place.shards, place.suffix

    def _add(self, stage: str, request: object, label: str) -> str:
        return self.graph.add(stage, request, label + self.suffix).output

    def captioned(self, name: str) -> str:
        """Return the folder of the gold clips under one kind of captions."""
        settings = self.settings.captions[name]
        settings = settings if settings.domain else replace(settings, domain=self.domain)
        clips = self.gold
        if self.settings.describe and settings.mode in ("mixcap", "plain"):
            clips = self._add("describe", describe.Request(clips=clips, shards=self.shards, settings=self.settings.describe), "describe")
        return self._add("caption", caption.Request(clips=clips, settings=settings), f"caption {name}")

    def pretraining(self) -> str:
        """Return the folder of the project's own captioned sounds, the same for every draw."""
        return self.graph.add("synthesize_captioned", synthesize_captioned.Request(settings=self.settings.pretraining)).output

    def presets(self, name: str) -> str:
        """Return the folder of some presets' captioned sounds, the same for every draw."""
        settings, shards = self.settings.presets[name], self.shards
        made = render_presets.Request(settings=settings.render_presets, shards=shards)
        rendered = self.graph.add("render_presets", made, f"render_presets {name}").output
        clips = self.graph.add("preset_clips", preset_clips.Request(presets=rendered, settings=settings.preset_clips)).output
        return self.graph.add("caption", caption.Request(clips=clips, settings=settings.caption), f"caption presets {name}").output

    def _lessons(self) -> str:
        """Return the captioned sounds that the base model learns from; they owe nothing to the gold clips."""
        name = self.settings.pretrain_on
        if name in self.settings.presets:
            return self.presets(name)
        if name in self.settings.pools:
            told = caption.Settings(mode="plain", domain=self.settings.pools[name].domain)
            return self.graph.add("caption", caption.Request(clips=self._as_it_is(name), settings=told), f"caption pool {name}").output
        return self.pretraining()

    def clap(self) -> str:
        """Return the checkpoint that filters and measures: a published file, or a compact one fitted on gold clips and our own sounds."""
        if self.settings.clap_checkpoint:
            return self.settings.clap_checkpoint
        gold = self.captioned(next(iter(self.settings.captions)))
        request = train_clap.Request(gold=gold, pretraining=self.pretraining(), settings=self.settings.train_clap)
        return self._add("train_clap", request, "train_clap")

    def model(self, name: str) -> str:
        """Return a model's folder: the base model's, or an aligned one's."""
        if name == BASE:
            # It hears no gold clip, so one serves all draws; what it lacks, alignment brings.
            settings = self.settings.train_text_to_audio
            # A model that does not hang on the dataset stays the same model when a row of it changes.
            lengths = "" if settings.pretrained or settings.canvas_s else self.lengths
            base = train_text_to_audio.Request(gold="", pretraining=self._lessons(), lengths=lengths, settings=settings)
            return self.graph.add("train_text_to_audio", base).output
        model = self.settings.models[name]
        current, gold = self.model(model.start), self.captioned(model.captions)
        if model.align.method == "erm":
            tuning = align_text_to_audio.Request(model=current, gold=gold, settings=model.align)
            return self._add("align_text_to_audio", tuning, f"align_text_to_audio {name}")
        for number in range(model.rounds):
            suffix = f"{name}, round {number + 1}" if model.rounds > 1 else name
            pairs = self._pairs(model, current, gold, number, suffix)
            request = align_text_to_audio.Request(model=current, gold=gold, pairs=pairs, settings=model.align)
            current = self._add("align_text_to_audio", request, f"align_text_to_audio {suffix}")
        return current

    def _pairs(self, model: Model, current: str, gold: str, number: int, label: str) -> str:
        """Let the present model generate for every gold clip, score where the pairs need it, and pair."""
        settings = replace(model.losers, seed=model.losers.seed + 1_000_003 * number)
        request = generate.Request(clips=gold, model=current, shards=self.shards, settings=settings)
        losers, winners = self._add("generate", request, f"generate losers {label}"), gold
        if model.pairs.method != "gold_wins":
            losers = self._filtered(losers, f"losers {label}")
        if model.pairs.method == "clap_ranked":
            winners = self._filtered(gold, f"gold {label}")
        return self._add("make_pairs", make_pairs.Request(gold=winners, losers=(losers,), settings=model.pairs), f"make_pairs {label}")

    def _filtered(self, clips: str, label: str) -> str:
        encoder = self.settings.encoder if self.settings.clap_filter.score == "encoder_rank" else ""
        request = clap_filter.Request(
            clips=clips, checkpoint=self.clap(), shards=self.shards, settings=self.settings.clap_filter, encoder=encoder,
            gold=self.gold if encoder else "",
        )  # fmt: skip
        return self._add("clap_filter", request, f"clap_filter {label}")

    def source(self, name: str) -> Rounds:
        """Return the folders of a source by its name."""
        if name in self.settings.unlabelled or name in self.settings.pools or name == GOLD:
            folder = self._as_it_is(name)
            return Rounds((folder,), (folder,))
        if name in self.settings.generators:
            return self._generated(name, self.settings.generators[name])
        if name in self.settings.augmenters:
            request = augment.Request(clips=self.gold, shards=self.shards, settings=self.settings.augmenters[name])
            folder = self._add("augment", request, f"augment {name}")
        elif name in self.settings.rooms:
            folder = self._in_rooms(name)
        else:
            folder, pool = self._retrieved(name)
            return Rounds((folder,), (folder,), (pool,))
        return Rounds((folder,), (folder,))

    def _retrieved(self, name: str) -> tuple[str, str]:
        """Return the folders of what is retrieved for the gold clips, and of the pool that it comes from."""
        retrieval = self.settings.retrievals[name]
        pool = self.presets(retrieval.presets) if retrieval.presets else self._pool(retrieval, name)
        by = retrieval.retrieve.by
        request = retrieve.Request(
            clips=self.gold, pool=pool, evaluation=self.prepared, checkpoint=self.clap() if by in ("audio", "label_text") else "",
            shards=self.shards, settings=retrieval.retrieve, encoder=self.settings.encoder if by == "encoder" else "",
        )  # fmt: skip
        return self._add("retrieve", request, f"retrieve {name}"), pool

    def _as_it_is(self, name: str) -> str:
        """Return the folder of clips that owe nothing to the gold clips, or of these; the former are the same for every draw."""
        if name == GOLD:
            return self.gold
        if name == SOUNDS:
            return self.pretraining()
        if name in self.settings.presets:
            return self.presets(name)
        if name in self.settings.pools:
            pool = prepared_dataset(self.graph, _all_train(self.settings.pools[name]), self.cwd)
            train = mix_clips.Request(sources=(mix_clips.Source(name, (pool,)),), evaluation=self.prepared)
            return self.graph.add("mix_clips", train, f"mix_clips pool {name}").output
        request = synthesize.Request(settings=self.settings.synths[name], shards=self.shards)
        return self.graph.add("synthesize", request, f"synthesize {name}").output

    def filtered(self, name: str) -> bool:
        """Whether a source's clips have the filter's scores, so that another bound can be set without scoring them again."""
        return name in self.settings.generators and self.settings.generators[name].filter

    def mixed(self, names: tuple[str, ...], weights: dict[str, float], label: str, held_out: bool = False) -> str:
        """Return the folder of one manifest with the train clips of some sources.

        Args:
            names: the sources.
            weights: shares of the mixture; a source without one has 1 where another has one.
            label: what the mixture is for.
            held_out: put the dataset's validation and test clips beside them.
        """
        parts = tuple(mix_clips.Source(name, self.source(name).accepted, weights.get(name, 1.0) if weights else 0.0) for name in names)
        request = mix_clips.Request(sources=parts, evaluation=self.prepared, held_out=held_out)
        return self._add("mix_clips", request, f"mix_clips {label}")

    def _in_rooms(self, name: str) -> str:
        """Return the folder of the gold clips in simulated rooms, which are the same for every draw."""
        settings = self.settings.rooms[name]
        made = simulate_rooms.Request(settings=settings.simulate_rooms, shards=self.shards)
        catalogue = self.graph.add("simulate_rooms", made, f"simulate_rooms {name}").output
        request = spatialise.Request(clips=self.gold, catalogue=catalogue, shards=self.shards, settings=settings.spatialise)
        return self._add("spatialise", request, f"spatialise {name}")

    def _pool(self, retrieval: Retrieval, name: str) -> str:
        if retrieval.sounds:
            made = synthesize_captioned.Request(settings=retrieval.sounds)
            return self.graph.add("synthesize_captioned", made, f"synthesize_captioned {name}").output
        if not retrieval.root:
            return self.pretraining()
        request = prepare.Request(csv=retrieval.csv, root=retrieval.root, settings=prepare.Settings(val_share=0.0, test_share=0.0))
        return self.graph.add("prepare", request, f"prepare pool {name}").output

    def _generated(self, name: str, generator: Generator) -> Rounds:
        """Generate, filter, and do so again with revised captions for what was rejected, as often as the generator says."""
        model, clips = self.model(generator.model), self.captioned(generator.captions)
        starts = self._retrieved(generator.pool) if generator.pool else ()
        generated, accepted, lineage = [], [], [clips, *starts]
        current = clips
        for number in range(generator.rounds):
            suffix = f"{name}, round {number + 1}" if generator.rounds > 1 else name
            request = generate.Request(
                clips=current, model=model, gold=clips if number else "", round=number, shards=self.shards, settings=generator.generate,
                pool=starts[0] if starts else "",
            )  # fmt: skip
            generated.append(self._add("generate", request, f"generate {suffix}"))
            if not generator.filter:
                return Rounds(tuple(generated), tuple(generated), tuple(lineage))
            accepted.append(self._filtered(generated[-1], suffix))
            if number + 1 < generator.rounds:
                settings = revision_settings(self.settings.captions[generator.captions], self.domain)
                revision = revise_captions.Request(clips=clips, rounds=tuple(accepted), round=number + 1, settings=settings)
                current = self._add("revise_captions", revision, f"revise_captions {suffix}")
                lineage.append(current)
        return Rounds(tuple(generated), tuple(accepted), tuple(lineage))


def _all_train(dataset: Dataset) -> Dataset:
    """Return a dataset all of whose clips train, unless it says how they are split."""
    untouched = dataset.prepare == prepare.Settings() and not (dataset.val_csv or dataset.test_csv)
    return replace(dataset, prepare=prepare.Settings(val_share=0.0, test_share=0.0)) if untouched else dataset


def revision_settings(settings: caption.Settings, domain: str) -> revise_captions.Settings:
    """Return how rejected captions are revised: with the same language model, words and seed as they were written."""
    shared = {item.name for item in fields(revise_captions.Settings)} & {item.name for item in fields(caption.Settings)}
    values = {name: getattr(settings, name) for name in shared}
    return revise_captions.Settings(**{**values, "domain": settings.domain or domain})
