"""What is made from one draw of gold clips: captions, models, generated and filtered clips, each when something asks for it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from core.graph import Graph
from flows.synthio.config import BASE, Config, Generator, Model
from tasks.align_text_to_audio import spec as align_text_to_audio
from tasks.augment import spec as augment
from tasks.caption import spec as caption
from tasks.clap_filter import spec as clap_filter
from tasks.describe import spec as describe
from tasks.generate import spec as generate
from tasks.make_pairs import spec as make_pairs
from tasks.measure_synthetic import spec as measure_synthetic
from tasks.prepare import spec as prepare
from tasks.preset_clips import spec as preset_clips
from tasks.render_presets import spec as render_presets
from tasks.retrieve import spec as retrieve
from tasks.revise_captions import spec as revise_captions
from tasks.simulate_rooms import spec as simulate_rooms
from tasks.spatialise import spec as spatialise
from tasks.stratify import spec as stratify
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


class Draw:
    """One draw of ``num_samples`` gold clips. Asking twice adds nothing, since equal work is one step of the graph."""

    def __init__(self, graph: Graph, config: Config, prepared: str, num_samples: int, seed: int, lengths: str) -> None:
        self.graph, self.config, self.prepared, self.lengths = graph, config, prepared, lengths
        self.num_samples, self.seed = num_samples, seed
        several = len(config.sizes) * len(config.draws) > 1
        self.suffix = f", n={num_samples}, draw {seed}" if several else ""
        """Tells the draw's steps from those of other draws; empty when it is the only one."""
        request = stratify.Request(clips=prepared, num_samples=num_samples, seed=seed, settings=config.stratify)
        self.gold = self._add("stratify", request, "stratify")

    def _add(self, stage: str, request: object, label: str) -> str:
        return self.graph.add(stage, request, label + self.suffix).output

    def captioned(self, name: str) -> str:
        """Return the folder of the gold clips under one kind of captions."""
        settings = self.config.captions[name]
        settings = settings if settings.domain else replace(settings, domain=self.config.dataset.domain)
        clips = self.gold
        if self.config.describe and settings.mode in ("mixcap", "plain"):
            clips = self._add(
                "describe", describe.Request(clips=clips, shards=self.config.shards, settings=self.config.describe), "describe"
            )
        return self._add("caption", caption.Request(clips=clips, settings=settings), f"caption {name}")

    def pretraining(self) -> str:
        """Return the folder of the project's own captioned sounds, the same for every draw."""
        return self.graph.add("synthesize_captioned", synthesize_captioned.Request(settings=self.config.pretraining)).output

    def presets(self, name: str) -> str:
        """Return the folder of some presets' captioned sounds, the same for every draw."""
        settings, shards = self.config.presets[name], self.config.shards
        made = render_presets.Request(settings=settings.render_presets, shards=shards)
        rendered = self.graph.add("render_presets", made, f"render_presets {name}").output
        clips = self.graph.add("preset_clips", preset_clips.Request(presets=rendered, settings=settings.preset_clips)).output
        return self.graph.add("caption", caption.Request(clips=clips, settings=settings.caption), f"caption presets {name}").output

    def clap(self) -> str:
        """Return the checkpoint that filters and measures: a published file, or a compact one fitted on gold clips and our own sounds."""
        if self.config.clap_checkpoint:
            return self.config.clap_checkpoint
        gold = self.captioned(next(iter(self.config.captions)))
        request = train_clap.Request(gold=gold, pretraining=self.pretraining(), settings=self.config.train_clap)
        return self._add("train_clap", request, "train_clap")

    def model(self, name: str) -> str:
        """Return a model's folder: the base model's, or an aligned one's."""
        if name == BASE:
            # It hears no gold clip, so one serves all draws; what it lacks, alignment brings.
            base = train_text_to_audio.Request(
                gold="", pretraining=self.presets(self.config.pretrain_on) if self.config.pretrain_on else self.pretraining(),
                lengths=self.lengths, settings=self.config.train_text_to_audio,
            )  # fmt: skip
            return self.graph.add("train_text_to_audio", base).output
        model = self.config.models[name]
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
        request = generate.Request(clips=gold, model=current, shards=self.config.shards, settings=settings)
        losers, winners = self._add("generate", request, f"generate losers {label}"), gold
        if model.pairs.method != "gold_wins":
            losers = self._filtered(losers, f"losers {label}")
        if model.pairs.method == "clap_ranked":
            winners = self._filtered(gold, f"gold {label}")
        return self._add("make_pairs", make_pairs.Request(gold=winners, losers=(losers,), settings=model.pairs), f"make_pairs {label}")

    def _filtered(self, clips: str, label: str) -> str:
        encoder = self.config.encoder if self.config.clap_filter.score == "encoder_rank" else ""
        request = clap_filter.Request(
            clips=clips, checkpoint=self.clap(), shards=self.config.shards, settings=self.config.clap_filter, encoder=encoder,
            gold=self.gold if encoder else "",
        )  # fmt: skip
        return self._add("clap_filter", request, f"clap_filter {label}")

    def source(self, name: str) -> Rounds:
        """Return the folders of a source by its name."""
        if name in self.config.generators:
            return self._generated(name, self.config.generators[name])
        if name in self.config.augmenters:
            request = augment.Request(clips=self.gold, shards=self.config.shards, settings=self.config.augmenters[name])
            folder = self._add("augment", request, f"augment {name}")
        elif name in self.config.rooms:
            folder = self._in_rooms(name)
        else:
            retrieval = self.config.retrievals[name]
            pool = self.presets(retrieval.presets) if retrieval.presets else self._pool(retrieval.root, retrieval.csv, name)
            learned = retrieval.retrieve.by == "encoder"
            retrieved = retrieve.Request(
                clips=self.gold, pool=pool, evaluation=self.prepared, checkpoint="" if learned else self.clap(), shards=self.config.shards,
                settings=retrieval.retrieve, encoder=self.config.encoder if learned else "",
            )  # fmt: skip
            folder = self._add("retrieve", retrieved, f"retrieve {name}")
            return Rounds((folder,), (folder,), (pool,))
        return Rounds((folder,), (folder,))

    def _in_rooms(self, name: str) -> str:
        """Return the folder of the gold clips in simulated rooms, which are the same for every draw."""
        settings = self.config.rooms[name]
        made = simulate_rooms.Request(settings=settings.simulate_rooms, shards=self.config.shards)
        catalogue = self.graph.add("simulate_rooms", made, f"simulate_rooms {name}").output
        request = spatialise.Request(clips=self.gold, catalogue=catalogue, shards=self.config.shards, settings=settings.spatialise)
        return self._add("spatialise", request, f"spatialise {name}")

    def _pool(self, root: str, csv: str, name: str) -> str:
        if not root:
            return self.pretraining()
        settings = prepare.Settings(val_share=0.0, test_share=0.0)
        return self.graph.add("prepare", prepare.Request(csv=csv, root=root, settings=settings), f"prepare pool {name}").output

    def _generated(self, name: str, generator: Generator) -> Rounds:
        """Generate, filter, and do so again with revised captions for what was rejected, as often as the generator says."""
        model, clips = self.model(generator.model), self.captioned(generator.captions)
        generated, accepted, lineage = [], [], [clips]
        current = clips
        for number in range(generator.rounds):
            suffix = f"{name}, round {number + 1}" if generator.rounds > 1 else name
            request = generate.Request(
                clips=current,
                model=model,
                gold=clips if number else "",
                round=number,
                shards=self.config.shards,
                settings=generator.generate,
            )
            generated.append(self._add("generate", request, f"generate {suffix}"))
            if not generator.filter:
                return Rounds(tuple(generated), tuple(generated), tuple(lineage))
            accepted.append(self._filtered(generated[-1], suffix))
            if number + 1 < generator.rounds:
                settings = revision_settings(self.config.captions[generator.captions], self.config.dataset.domain)
                revision = revise_captions.Request(clips=clips, rounds=tuple(accepted), round=number + 1, settings=settings)
                current = self._add("revise_captions", revision, f"revise_captions {suffix}")
                lineage.append(current)
        return Rounds(tuple(generated), tuple(accepted), tuple(lineage))

    def measured(self, name: str, rounds: Rounds) -> str:
        """Return the folder of a source's measures."""
        extra = tuple(dict.fromkeys([*rounds.lineage, *(folder for folder in rounds.generated if folder not in rounds.accepted)]))
        request = measure_synthetic.Request(
            gold=self.gold, evaluation=self.prepared, clips=rounds.accepted, checkpoint=self.clap(), lineage=extra,
            settings=self.config.measure_synthetic, encoder=self.config.encoder,
        )  # fmt: skip
        return self._add("measure_synthetic", request, f"measure_synthetic {name}")


def revision_settings(settings: caption.Settings, domain: str) -> revise_captions.Settings:
    """Return how rejected captions are revised: with the same language model, words and seed as they were written."""
    shared = {item.name for item in fields(revise_captions.Settings)} & {item.name for item in fields(caption.Settings)}
    values = {name: getattr(settings, name) for name in shared}
    return revise_captions.Settings(**{**values, "domain": settings.domain or domain})
